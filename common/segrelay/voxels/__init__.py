"""Images as numbers in space, for the lab's worker and for the site; numpy is used here.

==================  =======================================================================
``bounds``          declared sizes against the bytes that are there, and against limits
``file_format``     any DICOM file as one with a preamble, its dataset not deflated
``pixel_form``      the shape of an image, and where the bits of a voxel are in its cell
``codestreams``     compressed frames: found, measured, decoded
``padding``         which voxels are outside what was imaged
``stored``          all of these: Pixel Data to stored values
``slice_geometry``  the axes, order, step and affine of a stack of slices
``diameter``        the longest diameter of a segment
==================  =======================================================================

The agent's own process never imports this package: there numpy need not load.
"""
