"""How well a profile does on cases whose truth is known.

``cases``    folders of cases; imports nothing heavy
``summary``  means with their intervals; imports nothing heavy
``reading``  a case as volumes and its truth on the reference series' grid
``overlap``  Dice of two masks
``scores``   Dice, HD95 and volumes of one case
``montage``  a picture of one case

The last three are the worker's.
"""
