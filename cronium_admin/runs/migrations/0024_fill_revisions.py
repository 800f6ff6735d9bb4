"""Gives each job the row of its revision, and each run the revision that it ran, and what differs from it.

A job's older revisions, and those of deleted jobs, are made from a run: they have the settings that a run recorded and
that no launch can have changed. Everything else of the run goes to its `differs`, so that nothing is lost. In batches;
may be interrupted and repeated. Backwards, each run gets its own columns again; the revisions are lost.
"""

import hashlib
import json

from django.db import migrations, transaction
from django.db.models import Q

from cronium_admin.core.json_text import JsonText

BATCH = 500
_OF_JOB = (
    *("cpu", "egress", "enabled", "env", "image", "input", "language", "launch_env", "log_keep_days", "log_keep_runs"),
    *("log_limit_mb", "memory_mb", "name", "network", "on_log_limit", "pids", "queue", "read_only_root"),
    *("run_keep_days", "run_keep_runs", "secrets", "slug", "streams", "tags", "timeout_seconds"),
)
_SETTINGS = ("env", "secrets", "egress", "input")
_RECORDED = ("language", "on_log_limit", "queue", "read_only_root", "streams")
_OF_RUN = (
    *("pk", "number", "trigger", "parent_id", "job_name", "job_slug", "image", "image_rule", "overridden", "network"),
    *("created_at", "script_text_id", *_SETTINGS, *_RECORDED),
)


def _format(value, sort_keys):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys)
    return text


def _join(values):
    parts = (f"{json.dumps(name)}:{_format(values[name], name != 'input')}" for name in sorted(values))
    return "{" + ",".join(parts) + "}"


def _describe(values, script):
    """The columns of a revision that follow from its settings."""
    digest = hashlib.sha256(_join({**values, "script": script.text}).encode()).hexdigest()
    return {"settings": _join(values), "digest": digest, "script": script}


def _fill_jobs(apps):
    Job, JobRevision, ScriptText = (apps.get_model("jobs", name) for name in ("Job", "JobRevision", "ScriptText"))
    for job in Job.objects.select_related("profile", "updated_by").order_by("pk").iterator(chunk_size=100):
        if JobRevision.objects.filter(job=job, number=job.revision).exists():
            continue
        values = {name: getattr(job, name) for name in _OF_JOB}
        values |= {"cpu": None if job.cpu is None else float(job.cpu), "profile": job.profile.name}
        with transaction.atomic():
            digest = hashlib.sha256(job.script.encode("utf-8", "surrogatepass")).hexdigest()
            script = ScriptText.objects.get_or_create(digest=digest, defaults={"text": job.script})[0]
            by, name = job.updated_by, job.updated_by.username if job.updated_by else ""
            columns = _describe(values, script) | {"at": job.updated_at, "by": by, "by_name": name}
            JobRevision.objects.create(job=job, number=job.revision, **columns)


def _list_groups(runs):
    """Conditions, each for runs of one revision. Deleted jobs may have had the same slug: their script decides too."""
    of_jobs = runs.filter(job__isnull=False).order_by().values_list("job_id", "job_revision").distinct()
    for job, number in list(of_jobs):
        yield Q(job=job, job_revision=number)
    names = ("job_slug", "job_revision", "script_text_id")
    for key in list(runs.filter(job=None).order_by().values_list(*names).distinct()):
        yield Q(job=None, **dict(zip(names, key, strict=True)))


def _make_partial(apps, job_id, number, run):
    """A revision with what is sure of the job's settings at that time."""
    values = {name: run[name] for name in _RECORDED} | {"name": run["job_name"], "slug": run["job_slug"]}
    if run["image_rule"] != "run":
        values["image"] = run["image"] if run["image_rule"] == "job" else ""
    if not run["parent_id"] and run["trigger"] != "rerun":  # a rerun may have lost some of them
        values |= {"secrets": run["secrets"], "network": run["network"]}
        if run["network"] == "egress":
            values["egress"] = run["egress"]
    # A launch that replaces a variable hides the job's value
    if run["overridden"] is not None and not any(name.startswith("env.") for name in run["overridden"]):
        values["env"] = run["env"]
    script = apps.get_model("jobs", "ScriptText").objects.get(pk=run["script_text_id"])
    columns = _describe(values, script) | {"at": run["created_at"], "is_partial": True}
    return apps.get_model("jobs", "JobRevision").objects.create(job_id=job_id, number=number, **columns)


def _find_or_make(apps, group):
    Run, JobRevision = apps.get_model("runs", "Run"), apps.get_model("jobs", "JobRevision")
    waiting = Run.objects.filter(group, revision=None)
    key = waiting.order_by().values_list("job_id", "job_revision").first()
    if key is None:
        return None
    if key[0]:
        found = JobRevision.objects.filter(job=key[0], number=key[1]).first()
    else:  # made before an interruption
        found = JobRevision.objects.filter(runs__in=Run.objects.filter(group, revision__isnull=False)).first()
    if found:
        return found
    first = waiting.filter(parent=None).exclude(trigger="rerun").order_by("number").values(*_OF_RUN).first()
    return _make_partial(apps, *key, first or waiting.order_by("number").values(*_OF_RUN).first())


def _get_settings(values):
    """What a run without differences has, as `run_settings` says."""
    settings = {name: values[name] for name in ("env", "secrets", "input") if name in values}
    if "network" in values:
        settings["egress"] = values["egress"] if values["network"] == "egress" else []
    return settings


def _find_differences(apps, settings, script_id, run):
    different = {
        name: run[name]
        for name in _SETTINGS
        if name not in settings or _format(settings[name], name != "input") != _format(run[name], name != "input")
    }
    if run["script_text_id"] != script_id:
        different["script"] = apps.get_model("jobs", "ScriptText").objects.get(pk=run["script_text_id"]).text
    return different


def fill(apps, schema_editor):
    runs = apps.get_model("runs", "Run").objects
    _fill_jobs(apps)
    for group in _list_groups(runs.filter(revision=None)):
        while True:
            with transaction.atomic():
                revision = _find_or_make(apps, group)
                if revision is None:
                    break
                settings, same = _get_settings(json.loads(revision.settings)), []
                for run in list(runs.filter(group, revision=None).order_by("number").values(*_OF_RUN)[:BATCH]):
                    different = _find_differences(apps, settings, revision.script_id, run)
                    if different:
                        text = JsonText(_format(different, False))
                        runs.filter(pk=run["pk"]).update(revision=revision, differs=text)
                    else:
                        same.append(run["pk"])
                runs.filter(pk__in=same).update(revision=revision)


def take_back(apps, schema_editor):
    runs, ScriptText = apps.get_model("runs", "Run").objects, apps.get_model("jobs", "ScriptText")
    waiting = runs.filter(revision__isnull=False).select_related("revision").order_by("pk")
    while page := list(waiting.only("pk", "differs", "revision__settings", "revision__script")[:BATCH]):
        with transaction.atomic():
            for run in page:
                columns = _get_settings(json.loads(run.revision.settings)) | (run.differs or {})
                columns |= {"input": JsonText(_format(columns["input"], False)), "script_text_id": run.revision.script_id}
                if (script := columns.pop("script", None)) is not None:
                    digest = hashlib.sha256(script.encode()).hexdigest()
                    columns["script_text_id"] = ScriptText.objects.get_or_create(
                        digest=digest, defaults={"text": script}
                    )[0].pk
                runs.filter(pk=run.pk).update(**columns, revision=None, differs=None)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("runs", "0023_revision_of_run")]

    operations = [migrations.RunPython(fill, take_back)]
