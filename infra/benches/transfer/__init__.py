"""What ``infra/bench transfer`` is made of.

``tasks``       what a contender downloads or uploads, and what it reports
``contenders``  the naive way, a session, SegRelay
``peers``       pyorthanc, orthanc-api-client, dicomweb-client
``worker``      a contender in a process of its own
``workers``     the starter's side of ``worker``
``study``       synthetic studies and their storing in Orthanc
``seg``         the SEG that is uploaded
``scene``       Orthanc, the studies, the lines: what all phases need
``runs``        one run of a contender, timed and looked at
``line_limit``  phase: the line alone
``lower_bound`` phase: the folder alone
``downloads``   phases: noisy images, and images with a black background
``upload``      phase: a SEG over a thin line
``table``       the report as tables
"""
