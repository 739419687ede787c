"""What ``infra/bench web`` is made of.

``study``    phases of an examination, as large as the usual ones, and a tumour
``scene``    Orthanc, the site, the studies: what all phases need
``reading``  other ways to the frames of a SEG
``frames``   phase: the frames endpoint
``overlay``  phase: how many bytes an overlay is
``niivue``   NiiVue and the files and the page that it needs
``browser``  Chromium, and when a page has drawn
``first``    phase: the first image
``wsgi``     the site as the bench serves it
``table``    the report as tables
"""
