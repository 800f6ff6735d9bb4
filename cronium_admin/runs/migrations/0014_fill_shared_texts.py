"""Moves the scripts and sandbox reports of existing runs to rows that runs share. May be interrupted and repeated."""

import hashlib

from django.db import migrations, transaction

from cronium_admin.runs.sandbox_report import digest_table as digest
from cronium_admin.runs.sandbox_report import pack_report as pack

BATCH = 500


def fill(apps, schema_editor):
    Run = apps.get_model("runs", "Run")
    texts, tables = {}, {}

    def shared(model, known, key, **content):
        if key not in known:
            known[key] = model.objects.get_or_create(digest=key, defaults=content)[0].pk
        return known[key]

    waiting = Run.objects.filter(script_text=None).order_by("pk").values_list("pk", "script", "sandbox")
    while page := list(waiting[:BATCH]):
        with transaction.atomic():
            for pk, script, report in page:
                key = hashlib.sha256(script.encode("utf-8", "surrogatepass")).hexdigest()
                columns = {
                    "script_text_id": shared(apps.get_model("runs", "ScriptText"), texts, key, text=script)
                }
                if report and "rows" in report:
                    table, own = pack(str(pk), report)
                    model = apps.get_model("runs", "SandboxTable")
                    columns |= {"sandbox": own, "sandbox_table_id": shared(model, tables, digest(table), rows=table)}
                Run.objects.filter(pk=pk).update(**columns)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("runs", "0013_shared_texts")]

    operations = [migrations.RunPython(fill)]
