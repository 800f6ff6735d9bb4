from django.db import migrations, models

from cronium_admin.core.line_text import fold_case as fold
from cronium_admin.core.line_text import make_sort_key as order_key


def fill(apps, schema_editor):
    rows = apps.get_model("jobs", "Job").objects
    for job in rows.only("pk", "name", "slug").order_by("pk").iterator(chunk_size=500):
        rows.filter(pk=job.pk).update(search_text=f"{fold(job.name)}\n{fold(job.slug)}", order_key=order_key(job.name))


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_json_as_text")]

    operations = [
        migrations.AddField("job", "search_text", models.TextField(default="", editable=False)),
        migrations.AddField("job", "order_key", models.BinaryField(default=b"")),
        migrations.AlterModelOptions("job", {"ordering": ["order_key", "id"]}),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
