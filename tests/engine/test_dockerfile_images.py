"""Images of a Dockerfile on the real engine: what the image and its jobs get, the user of commands, and failures."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from tests.engine.server import Server
from tests.engine.test_custom_images import building, newest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as the other tests of builds")
BASE = "cronium/runner:python-debian"
DOCKERFILE = r"""# syntax=docker/dockerfile:1
ARG FLAVOUR=debian
FROM cronium/runner:python-${FLAVOUR} AS base
ARG FLAVOUR
ENV GREETING="hello of $FLAVOUR" PATH=/opt/app/bin:$PATH
LABEL org.example.team=reports org.example.greeting=$GREETING
EXPOSE 8080
RUN groupadd --gid 1500 app && useradd --uid 1500 --gid app --create-home app \
    # a comment within
    && install -d -o app -g app /opt/app
RUN su -s /bin/sh app -c 'id -un >/opt/app/by-su && echo $GREETING >>/opt/app/by-su'
COPY --chmod=755 --chown=app:app <<greet.sh /opt/app/bin/
#!/bin/sh
echo "from a file: $GREETING, \$0"
greet.sh
USER app
WORKDIR /opt/app
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN <<EOF
(id -un; id -gn; pwd; echo $HOME; [[ $GREETING == hello* ]] && echo "in bash") >by-user
if touch /etc/by-user 2>/dev/null; then echo "may write in /etc"; exit 1; fi
echo "capabilities: $(grep CapEff /proc/self/status)"
EOF
USER 1500:app
RUN ["/bin/sh", "-c", "id -u >by-number; id -G >>by-number; echo $HOME >>by-number"]
USER 0
RUN <<EOF
#!/usr/bin/env python3
import os
open("/opt/app/by-root", "w").write(f"{os.getuid()} {os.getcwd()} {os.environ['HOME']}")
os.chown("/opt/app/by-root", 1500, 1500)
EOF
RUN chmod u+s /opt/app/bin/greet.sh
CMD ["python3"]
"""


@pytest.fixture(scope="module")
def builder(new_server: Callable[..., Server]) -> Iterator[Server]:
    with building(new_server()) as made:
        yield made


def build(server: Server, name: str, text: str) -> tuple[dict[str, Any], str]:
    """The ended run of a build, and its log."""
    body = {"name": name, "recipe": {"base": "python", "dockerfile": text}}
    server.call("POST", "/custom-images", body, 201)
    return build_again(server, name)


def build_again(server: Server, name: str) -> tuple[dict[str, Any], str]:
    run_id = server.call("POST", f"/custom-images/{name}/builds", None, 202)["id"]
    run = server.ended(run_id, 180)
    return run, server.text(run_id).decode()


def test_a_job_sees_what_its_dockerfile_made(builder: Server, docker_client: docker.APIClient) -> None:
    run, log = build(builder, "whole", DOCKERFILE)
    assert run["status"] == "succeeded", (run["message"], log)
    assert run["image"]["reference"] == BASE
    assert "STEP 3 of 22  ENV GREETING=" in log
    assert "EXPOSE is ignored: no port of a job is reachable." in log
    assert "capabilities: CapEff:\t0000000000000000" in log
    assert "removing the setuid or setgid bit of /opt/app/bin/greet.sh" in log
    script = (
        "import os, pathlib, subprocess\n"
        "print(os.environ['GREETING'], os.environ['HOME'], 'FLAVOUR' in os.environ)\n"
        "print(subprocess.run(['greet.sh'], capture_output=True, text=True).stdout.strip())\n"
        "for name in ('by-su', 'by-user', 'by-number', 'by-root'):\n"
        "    path = pathlib.Path('/opt/app') / name\n"
        "    print(path.read_text().split(), path.stat().st_uid)\n"
    )
    job = builder.ended(builder.run(script, "python", image="cronium/custom/whole"))
    assert builder.text(job["id"]).decode().splitlines() == [
        "hello of debian /workspace False",
        "from a file: hello of debian, /opt/app/bin/greet.sh",
        "['app', 'hello', 'of', 'debian'] 1500",
        "['app', 'app', '/opt/app', '/home/app', 'in', 'bash'] 1500",
        "['1500', '1500', '/home/app'] 1500",
        "['0', '/opt/app', '/root'] 1500",
    ]
    made = docker_client.inspect_image(builder.get(job["id"])["image"]["reference"])["Config"]
    labels = {name: value for name, value in made["Labels"].items() if name.startswith("org.example")}
    assert labels == {"org.example.team": "reports", "org.example.greeting": "hello of debian"}
    assert made["Labels"]["cronium.image"] == "custom"
    assert not [entry for entry in made["Env"] if "PROXY" in entry.upper() or entry.startswith(("BUILD_", "PIP_"))]
    sandbox = builder.call("GET", f"/runs/{run['id']}/sandbox")
    rows = {row["what"]: row["reported"] for row in sandbox["rows"] if row["of"] == "main"}
    assert rows["capabilities added"] == "CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID"
    assert (rows["user"], rows["no new privileges"]) == ("0:0", "yes")


@pytest.mark.chaos
def test_the_same_dockerfile_gives_the_same_image(builder: Server) -> None:
    run_line = "RUN useradd --create-home app && date >/var/log/x && mkdir /opt/made"
    text = f"FROM {BASE}\nENV A=1 B=$PATH\n{run_line}\nLABEL a=b\n"
    run, log = build(builder, "twice", text)
    assert run["status"] == "succeeded", (run["message"], log)
    first = newest(builder, "twice")
    build_again(builder, "twice")
    second = newest(builder, "twice")
    assert (second["number"], second["config_digest"]) == (2, first["config_digest"])


@pytest.mark.chaos
def test_a_custom_image_is_the_base_of_another(builder: Server) -> None:
    first, log = build(
        builder, "lower", f"FROM {BASE}\nENV LOWER=1 NAME=lower CONF=of-lower\nRUN echo lower >/opt/lower\n"
    )
    assert first["status"] == "succeeded", (first["message"], log)
    text = "FROM cronium/custom/lower:1\nENV NAME=upper-$NAME\nRUN cp /opt/lower /opt/upper && [ $CONF = of-lower ]\n"
    second, log = build(builder, "upper", text)
    assert second["status"] == "succeeded", (second["message"], log)
    script = "import os; print(os.environ['LOWER'], os.environ['NAME'], open('/opt/upper').read().strip())"
    job = builder.ended(builder.run(script, "python", image="cronium/custom/upper"))
    assert builder.text(job["id"]) == b"1 upper-lower lower\n"


# The lines after FROM; the code, and a part of the message.
FAILURES: dict[str, tuple[str, str, str]] = {
    "command": (
        "RUN true\n\nRUN echo about to fail && exit 3",
        "build_step_failed",
        "Step 3 of 7 failed: RUN echo about",
    ),
    "user": ("USER nobody-here\nRUN id", "build_step_failed", "USER nobody-here (line 2)"),
    "memory": ("WORKDIR /tmp\nENV NAME=x\nCOPY <<E .\nx\nE", "build_step_failed", "COPY <<E . (line 4)"),
    "mount": ("RUN mount -t tmpfs x /mnt", "build_step_failed", "RUN mount"),
    "device": ("RUN mknod /dev/x b 8 0", "build_step_failed", "RUN mknod"),
    "raw": (
        'RUN ["python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"]',
        "build_step_failed",
        "RUN [",
    ),
    "engine": ("RUN ls /var/run/docker.sock", "build_step_failed", "RUN ls /var/run/docker.sock"),
    "route": ("RUN curl -sS https://elsewhere.example/", "build_no_route", "CRONIUM_BUILD_EGRESS"),
    "language": ("RUN rm -f /usr/bin/python3*", "build_smoke_test", "python"),
}


@pytest.mark.chaos
@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_dockerfile_says_why(builder: Server, name: str) -> None:
    lines, reason, text = FAILURES[name]
    run, log = build(builder, f"bad-{name}", f"FROM {BASE}\n{lines}\n")
    assert (run["status"], run["reason"]) == ("failed", reason), (run["message"], log[-2000:])
    assert text in run["message"]
    assert newest(builder, f"bad-{name}")["status"] == "failed"
