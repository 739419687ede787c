"""``infra/demo``: one job from upload to evidence, on this machine."""
