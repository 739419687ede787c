"""REST endpoints, by topic.

``base``      who may call, how often, how errors look
``submit``    a segmentation of four series, or of a study
``requests``  the jobs: one, all, their history; cancel, retry
``studies``   the studies of Orthanc, with recognised roles
``agents``    agents, profiles on offer, health
``push``      notifications of the bucket
``images``    the voxels of a series, and a SEG laid over them
``answers``, ``serializers``, ``bodies``
              what is answered and asked; ``schema`` describes it, where its package is installed

Every answer has ``success``. A refusal is
``{"success": false, "error": message, "code": …, "remedy": …, "detail": …}`` in the language of
the request (where that is not English, the detail is the error's own words in English) with
HTTP 400 (the request), 403 (not allowed), 404 (no such thing), 409 (the job's state), 429 (too
often), 502 (Orthanc refuses), 503 (try again) or 500 (this site's settings).
"""
