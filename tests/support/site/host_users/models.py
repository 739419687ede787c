"""Users as a hospital's project may have them: no ``username``, and an id that is no number."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class Staff(AbstractBaseUser, PermissionsMixin):
    """A user with an e-mail address for a name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    is_staff = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)

    objects: ClassVar[BaseUserManager[Any]] = BaseUserManager()

    USERNAME_FIELD = "email"

    def __str__(self) -> str:
        return self.email


class Badge(AbstractBaseUser):
    """A user without permissions at all."""

    email = models.CharField(max_length=99, unique=True)

    objects: ClassVar[BaseUserManager[Any]] = BaseUserManager()

    USERNAME_FIELD = "email"

    def __str__(self) -> str:
        return self.email
