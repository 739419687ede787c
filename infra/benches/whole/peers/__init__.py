"""What a hospital would run instead.

``seed``             the naive script: a request an image, weights loaded for each job
``mosec``            Mosec on the cloud machine, with the web process that waits for it
``mosec_service``    the program of Mosec; runs in a venv of its own
``mosec_web``        that web process
``monailabel``       MONAI Label over DICOMweb
``monailabel_app``   its app; runs in a venv of its own
``venvs``            where these are
"""
