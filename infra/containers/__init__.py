"""The hospital's containers tried for real: ``python -m infra.containers``, as root on Debian.

A docker engine runs ``infra/docker-compose.yml`` as it is, with an image of the site that is built
from ``infra/compose/site.Dockerfile`` as it is. Images of others that are not on this machine are
replaced by stand-ins (``images/``): Debian's packages in a root that debootstrap makes, with the
places, variables, users and signals of the official ones.

``engine``    a docker engine: this machine's, or one of our own
``images``    the images that the compose file names
``hospital``  the compose project, and what a person outside does with it
``trial``     the questions, one a function
"""
