"""The jobs of the demo data: their names, projects, settings and scripts."""

from typing import Any

INVOICES = '''\
"""Books yesterday's invoices in the ERP."""

import csv
import time

import cronium

RATES = {"DE": 0.19, "FR": 0.20}


def read_invoices():
    for number in range(1, 61):
        vat = {"vat_id": f"DE{800000 + number}"} if number != 47 else {}
        yield {"id": f"INV-{88300 + number}", "amount": 90 + number * 7.4, "country": "DE", **vat}


def book(invoice):
    total = invoice["amount"] * (1 + RATES[invoice["country"]])
    print(f"  {invoice['id']}  {total:>8.2f} EUR  {CHECK}  booked", flush=True)
    return total


print("reading /workspace/invoices.csv: 60 invoices", flush=True)
booked = [book(invoice) for invoice in read_invoices()]
cronium.output({"booked": len(booked), "total_eur": round(sum(booked), 2)})
print(f"{len(booked)} invoices booked, {sum(booked):,.2f} EUR")
'''
GOOD_INVOICES = INVOICES.replace("{CHECK}", "{invoice['country']}")
BAD_INVOICES = INVOICES.replace("{CHECK}", "{invoice['vat_id']}")
INDEX = """\
import time

for number in range(1, 3600):
    print(f"\\033[34mindex\\033[0m {number * 144:>7,} of 518,340 documents, {140 + number % 9} a second", flush=True)
    if number % 25 == 0:
        print("\\033[33mwarn\\033[0m slow disk: 84 ms a write", flush=True)
    time.sleep(1)
"""
FORECAST = """\
print("loading 48 files of sales", flush=True)
rows = []
for number in range(48):
    print(f"  file {number + 1} of 48", flush=True)
    rows.append(bytearray(8_000_000))
"""
BACKUP = """\
#!/usr/bin/env bash
set -euo pipefail
for table in customers orders invoices payments tickets; do
  printf 'dumping %-12s ok\\n' "$table"
done
cronium_output '{"tables": 5, "size_mb": 1874}'
echo "backup written: 5 tables, 1,874 MB"
"""
SEATS = """\
#!/usr/bin/env bash
echo "reading seats of 14 products"
echo "curl: (28) Operation timed out after 30001 milliseconds with 0 bytes received" >&2
exit 28
"""
DIGEST = """\
const people = ["Ana", "Bo", "Chandra"];
for (const person of people) console.log(`digest for ${person}: 4 topics`);
console.log("3 mails sent");
"""
REPORT = """\
import json
import cronium

order = cronium.input()
print("report of", order["region"], "in batches of", order["batch"])
cronium.output({"region": order["region"], "rows": 40 * order["batch"]})
"""
REPORT_INPUT: dict[str, Any] = {
    "type": "object",
    "required": ["region", "day"],
    "additionalProperties": False,
    "properties": {
        "region": {
            "type": "string",
            "title": "Region",
            "oneOf": [{"const": "eu", "title": "Europe"}, {"const": "us", "title": "America"}],
        },
        "day": {"type": "string", "format": "date", "title": "Day", "description": "The day of the report."},
        "batch": {"type": "integer", "title": "Rows in a batch", "minimum": 1, "maximum": 500, "default": 50},
        "formats": {
            "type": "array",
            "title": "Formats",
            "items": {"type": "string", "enum": ["csv", "pdf", "xlsx"]},
            "uniqueItems": True,
            "default": ["pdf"],
        },
        "customers": {
            "type": "object",
            "title": "Customers",
            "x-cronium": {"file": {"as": "text", "accept": [".csv"]}},
        },
        "dry_run": {"type": "boolean", "title": "Dry run", "description": "Sends nothing.", "default": True},
    },
}
RUNBOOK = (
    "Books **yesterday's invoices** in the ERP, before the finance team starts at 08:00.\n\n"
    "If it fails before 06:00, follow the [runbook](https://wiki.example.com/runbooks/invoices); "
    "a second run books nothing twice."
)
# project -> the jobs in it.
JOBS: dict[str, list[dict[str, Any]]] = {
    "default": [
        {"name": "Rebuild search index", "language": "python", "script": INDEX, "tags": ["search", "nightly"],
         "timeout_seconds": 7200, "profile": "medium"},
        {"name": "Back up customer database", "language": "bash", "script": BACKUP, "tags": ["backup", "nightly"],
         "succeed_every": 86400},
        {"name": "Sync TLS certificates", "language": "bash", "script": "certbot renew", "tags": ["ops"],
         "queue": "certificates", "start_by": 10},
        {"name": "Archive old orders", "language": "bash", "script": "echo moving orders of 2019\nsleep 600",
         "tags": ["nightly"], "timeout_seconds": 3},
        {"name": "Resize product images", "language": "python", "script": "import PIL", "tags": ["shop"],
         "image": "registry.example.com/shop/pillow:11.2", "pull_policy": "never"},
        {"name": "Send weekly digest", "language": "node", "script": DIGEST, "tags": ["mail"]},
        {"name": "Rotate API keys", "language": "bash", "script": "echo rotating", "tags": ["ops"], "enabled": False},
        {"name": "Clean temporary files", "language": "bash", "script": "echo 214 files removed", "tags": ["ops"]},
    ],
    "finance": [
        {"name": "Nightly invoice import", "language": "python", "script": GOOD_INVOICES,
         "tags": ["billing", "nightly"], "description": RUNBOOK,
         "env": {"ERP_URL": "https://erp.example.com"}, "timeout_seconds": 900},
        {"name": "Currency rates", "language": "bash", "script": "echo 31 rates stored", "tags": ["billing"]},
        {"name": "Reconcile licence seats", "language": "bash", "script": SEATS, "tags": ["erp"],
         "retry": {"max": 1, "delay_seconds": 3600}},
        {"name": "Customer report", "language": "python", "script": REPORT, "tags": ["billing", "reports"],
         "input_schema": REPORT_INPUT, "input": {"region": "eu", "day": "2026-11-26", "batch": 50}},
    ],
    "data-platform": [
        {"name": "Train sales forecast", "language": "python", "script": FORECAST, "tags": ["ml"], "memory_mb": 64},
        {"name": "Export ledger to warehouse", "language": "python", "script": "print('41,200 rows exported')",
         "tags": ["warehouse", "nightly"]},
    ],
}  # fmt: skip
# Seconds that a run of a job takes in its history; of other jobs TYPICAL.
SECONDS = {"Rebuild search index": 1400, "Back up customer database": 240, "Export ledger to warehouse": 74}
TYPICAL = 2.5
# The names of the jobs whose history has failures, and what their log said.
FAILURES = {
    "Nightly invoice import": "KeyError: 'vat_id'",
    "Reconcile licence seats": "curl: (28) Operation timed out after 30001 milliseconds with 0 bytes received",
    "Export ledger to warehouse": "RuntimeError: HTTP 503 from warehouse.example.com",
}
