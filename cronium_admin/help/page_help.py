"""The short help of each page: what the page is for, its own keys, and the documents about it."""

from dataclasses import dataclass

from cronium_admin.help.documents import Section, load_documents

_ROWS = ("j k", "Next, previous row"), ("Enter", "Open the row")
_STEPS = (("[ ]", "Previous, next run of the job"),)
_LOG = (*_STEPS, ("/", "Find in the log"), ("f", "Follow new lines"), ("?", "All keys of the log"))
_EDITOR = (
    ("Ctrl S", "Save"),
    ("Ctrl Enter", "Save and run"),
    ("Esc Tab", "Leave the code"),
)


@dataclass(frozen=True)
class PageHelp:
    """`documents`: names of documents, or NAME#ANCHOR for a part of one."""

    text: str
    documents: tuple[str, ...]
    keys: tuple[tuple[str, str], ...] = ()

    @property
    def links(self) -> list[Section]:
        return [section for name in self.documents if (section := _find_section(name))]


def _find_section(name: str) -> Section | None:
    name, _, anchor = name.partition("#")
    document = load_documents().get(name)
    return next((one for one in document.sections if one.anchor == anchor), None) if document else None


_HOME = PageHelp(
    "What needs you now: failing jobs with their error, runs that run or wait, and what comes next. It refreshes by "
    "itself; rows stay where they are while you point at them.",
    ("home",),
)
_JOBS = PageHelp(
    "All jobs that you may see. Search several words, filter, and save a filter as a view. Choose rows to change many "
    "jobs at once.",
    ("home", "runs"),
    _ROWS,
)
_JOB = PageHelp(
    "One job: its runs, its script, each change of it, its settings, and how to run it from elsewhere. The line below "
    "the title says whether it is well and since when.",
    ("runs", "scheduling", "expected", "advice"),
)
_EDIT = PageHelp(
    "The script at the left, its settings at the right. Try without saving runs the text as it is; each save is a new "
    "revision, which the history can restore. Comments such as # noqa: B006 and # shellcheck disable=SC2164 "
    "silence the problems that a check finds.",
    ("scripts", "runtime-api", "input", "networks"),
    _EDITOR,
)
_LAUNCH = PageHelp(
    "Run a job with another input or other limits than it has. The job itself does not change.", ("input", "limits")
)
_RUNS = PageHelp(
    "All runs that you may see, newest first. The filters are in the address, so you can send it to somebody.",
    ("runs#find-runs", "runs#search-the-logs-of-many-runs"),
    _ROWS,
)
_RUN = PageHelp(
    "One run: its log, live while it runs, the script as it ran, and what happened when. A failed run says why, and "
    "what differs from the last success.",
    ("log", "runs#compare-two-runs", "retries"),
    _LOG,
)
_COMPARE = PageHelp(
    "Two runs side by side: first what can explain a difference, then what became of both.", ("runs#compare-two-runs",)
)
_SEARCH = PageHelp(
    "Searches the logs of the chosen runs, newest first, in bounded steps.", ("runs#search-the-logs-of-many-runs",)
)
_DELETE_RUNS = PageHelp(
    "Counts the runs that you choose, and deletes them with their logs after you confirm.", ("growth",)
)
_SCHEDULES = PageHelp(
    "Schedules launch runs at the times of a rule. Each planned time is recorded with what became of it.",
    ("scheduling", "limits"),
)
_CALENDARS = PageHelp(
    "Calendars list closed days. A schedule with a calendar skips or moves its times on them.", ("scheduling",)
)
_INCIDENTS = PageHelp(
    "Incidents open when something expected does not come in time, and close by themselves. Checks watch crons that "
    "run elsewhere.",
    ("expected",),
)
_SECRETS = PageHelp("Passwords, tokens and keys that jobs read. Their values are never shown again.", ("secrets",))
_VARIABLES = PageHelp("JSON values that outlive a run. Scripts read and change them.", ("runtime-api",))
_IMAGES = PageHelp("Which image the runs of each language get, and why; on which hosts it is.", ("images",))
_BUILDS = PageHelp(
    "Custom images: a base language, and what scripts need beside it. Cronium builds and tests them.",
    ("custom-images",),
)
_PROFILES = PageHelp(
    "Named limits of CPU, memory and processes. A job chooses one, and can override parts of it.",
    ("limits", "settings"),
)
_HOSTS = PageHelp(
    "The machines that run jobs: what they do now, whether they are well, and the limits of queues.",
    ("deploy", "scale", "limits"),
)
_ACCESS = PageHelp("Who may sign in, with which role, and the API tokens of each user.", ("security", "api"))
_ACCOUNT = PageHelp("Your role, your password and where you are signed in.", ("api",))
_HELP = PageHelp("The documentation of this version. It needs no connection to the internet.", ("architecture",))
_PALETTE = PageHelp("Goes to a page, a job, a run or a part of the documentation, and runs or edits a job.", ("home",))
_STYLEGUIDE = PageHelp("Every component in its states, for people who change the pages.", ("visual-language",))

# By the name of the page's URL, or by its namespace.
PAGE_HELP = {
    "home": _HOME,
    "home-figures": _HOME,
    **{"jobs": _JOB, "jobs:list": _JOBS, "jobs:new": _EDIT, "jobs:edit": _EDIT, "job_views": _JOBS},
    **{"runs": _RUN, "runs:list": _RUNS, "runs:launch": _LAUNCH, "runs:compare": _COMPARE, "runs:bulk": _JOBS},
    **{"runs:bulk-runs": _RUNS, "logs": _SEARCH, "logs:compare": _COMPARE, "retention": _DELETE_RUNS},
    **{"schedules": _SCHEDULES, "planning": _SCHEDULES, "calendars": _CALENDARS, "expectations": _INCIDENTS},
    **{"secrets": _SECRETS, "variables": _VARIABLES, "profiles": _PROFILES, "hosts": _HOSTS},
    **{"images": _BUILDS, "images:list": _IMAGES, "images:disk": _IMAGES, "images:registries": _IMAGES},
    **{"images:registry": _IMAGES, "images:registry-new": _IMAGES},
    **{"access": _ACCESS, "account": _ACCOUNT, "help": _HELP, "palette": _PALETTE, "styleguide": _STYLEGUIDE},
}


def find_page_help(view_name: str) -> PageHelp | None:
    """For the page whose URL has this name, such as `jobs:list`."""
    return PAGE_HELP.get(view_name) or PAGE_HELP.get(view_name.partition(":")[0])
