"""Rows that one owner holds for a limited time. `lease` has the functions that change them."""

from django.db import models


class Leased(models.Model):
    """Columns of a row that at most one owner holds. Change them only through `core.lease`."""

    owner = models.CharField(max_length=250, blank=True, default="")
    lease_expires_at = models.DateTimeField(null=True)  # on the database's clock

    class Meta:
        abstract = True


class Lease(Leased):
    """A lease by name, for the whole installation."""

    name = models.CharField(max_length=100, primary_key=True)
    epoch = models.PositiveBigIntegerField(default=0)  # grows when another owner acquires the lease

    def __str__(self) -> str:
        return self.name
