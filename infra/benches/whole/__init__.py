"""What ``infra/bench whole`` is made of.

``case``          the study, its network, the look at a SEG
``process_tree``  processor time, memory and bytes of a tree of processes
``measure``       one job of a system, counted
``relay``         SegRelay: site and agent
``peers``         the naive script, Mosec, MONAI Label
``systems``       all of them by name
``scene``         Orthanc with the case
``click``         the page, from the click to the mask
``phases``        what is measured
``table``         the report as tables
"""
