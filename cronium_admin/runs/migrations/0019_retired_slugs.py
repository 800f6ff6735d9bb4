from django.db import migrations
from django.db.models import F, Max, Q


def fill(apps, schema_editor):
    """What is known of jobs that were deleted or renamed before: the highest number of their stored runs."""
    Run, RetiredSlug = apps.get_model("runs", "Run"), apps.get_model("jobs", "RetiredSlug")
    left = Run.objects.filter(Q(job__isnull=True) | ~Q(job_slug=F("job__slug"))).order_by()
    rows = left.values_list("job_slug").annotate(last=Max("number"))
    RetiredSlug.objects.bulk_create(
        [RetiredSlug(slug=slug, last_run_number=last) for slug, last in rows.iterator()],
        batch_size=500,
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0015_retired_slugs"),
        ("runs", "0018_database_clock"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
