"""Pure data: the allowed system calls by purpose, each group with a reason. All other calls are refused."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Calls that are allowed with any arguments, for one purpose."""

    purpose: str
    why: str
    calls: tuple[str, ...]


def _make_group(purpose: str, why: str, calls: str) -> Group:
    return Group(purpose, why, tuple(calls.split()))


ALLOWED = (
    _make_group(
        "open, read, write files",
        "every program",
        """open openat openat2 creat close close_range read write pread64 pwrite64 readv writev preadv pwritev preadv2
        pwritev2 lseek _llseek dup dup2 dup3 fcntl fcntl64 ioctl flock pipe pipe2 truncate truncate64 ftruncate
        ftruncate64 fallocate fsync fdatasync sync syncfs sync_file_range sync_file_range2 fadvise64 fadvise64_64
        readahead sendfile sendfile64 copy_file_range splice tee memfd_create""",
    ),
    _make_group(
        "names, modes and times of files",
        "ls, cp, tar, package managers; the user and the mounts limit which files they can change",
        """stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64 statx statfs statfs64 fstatfs fstatfs64 access
        faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir rename
        renameat renameat2 link linkat symlink symlinkat unlink unlinkat chmod fchmod fchmodat fchmodat2 chown chown32
        fchown fchown32 lchown lchown32 fchownat utime utimes utimensat utimensat_time64 futimesat umask getxattr
        lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr
        fremovexattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch""",
    ),
    _make_group(
        "named pipes",
        "mkfifo; creating a device needs a capability that no process has",
        "mknod mknodat",
    ),
    _make_group(
        "memory",
        "every program; node's engine uses protection keys",
        """brk mmap mmap2 munmap mremap mprotect msync madvise mincore mlock mlock2 munlock mlockall munlockall
        membarrier pkey_alloc pkey_free pkey_mprotect""",
    ),
    _make_group(
        "processes and threads",
        "subprocess, multiprocessing, workers, shells; see below for `clone` and its flags",
        """fork vfork execve execveat exit exit_group wait4 waitpid waitid set_tid_address set_robust_list
        get_robust_list rseq futex futex_time64 futex_waitv arch_prctl set_thread_area get_thread_area prctl
        setpgid getpgid getpgrp setsid getsid getpid getppid gettid pidfd_open pidfd_send_signal restart_syscall""",
    ),
    _make_group(
        "signals",
        "every program",
        """kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigpending rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn
        rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 sigaction sigprocmask sigreturn sigaltstack signalfd
        signalfd4 pause alarm""",
    ),
    _make_group(
        "waiting for events",
        "event loops of python and node",
        """select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1 epoll_ctl
        epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 io_setup io_destroy
        io_submit io_cancel io_getevents""",
    ),
    _make_group(
        "clocks and timers",
        "reading clocks and waiting; setting the clock is refused",
        """time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep
        clock_nanosleep_time64 nanosleep getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime
        timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
        timerfd_settime64 times""",
    ),
    _make_group(
        "user and group ids",
        "reading ids; the setters change nothing without capabilities, but many programs call them",
        """getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid
        getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
        setresuid setresuid32 setresgid setresgid32 setgroups setgroups32 setfsuid setfsuid32 setfsgid setfsgid32
        capget uname sysinfo""",
    ),
    _make_group(
        "scheduling and own limits",
        "os.cpu_count, nice, ulimit; without capabilities a process can only lower its own limits",
        """sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler
        sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min
        sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getrlimit
        ugetrlimit setrlimit prlimit64 getrusage getcpu getrandom""",
    ),
    _make_group(
        "using a socket",
        "the runtime API; see below for the sockets that can be created",
        """bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt send sendto
        sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64""",
    ),
    _make_group(
        "shared memory and semaphores",
        "numerical libraries, databases in tests; the IPC namespace is the container's own",
        "shmget shmat shmdt shmctl semget semop semtimedop semtimedop_time64 semctl",
    ),
)

# Examples of refused calls, for the documentation and the tests. The profile does not use them.
REFUSED = (
    _make_group(
        "io_uring",
        "bypasses the filter for most calls; many known vulnerabilities",
        "io_uring_setup io_uring_enter io_uring_register",
    ),
    _make_group(
        "access to other processes",
        "jobs run no debugger",
        "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease",
    ),
    _make_group(
        "kernel keyrings", "shared with the host's processes of the same user id", "add_key request_key keyctl"
    ),
    _make_group(
        "kernel programs and tracing",
        "no script needs them",
        "bpf perf_event_open userfaultfd fanotify_init fanotify_mark syslog lookup_dcookie",
    ),
    _make_group(
        "namespaces and mounts",
        "no nested sandboxes",
        "unshare setns mount umount umount2 "
        "pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr statmount listmount",
    ),
    _make_group(
        "settings of the host",
        "clock, swap, kernel modules, reboot, host name",
        "kexec_load kexec_file_load init_module "
        "finit_module delete_module create_module reboot swapon swapoff settimeofday clock_settime clock_settime64 "
        "clock_adjtime adjtimex stime sethostname setdomainname acct quotactl quotactl_fd iopl ioperm vhangup "
        "nfsservctl _sysctl sysfs uselib ustat",
    ),
    _make_group("files by handle", "bypasses the mounts", "name_to_handle_at open_by_handle_at"),
    _make_group(
        "unusual memory calls",
        "rare in scripts, common in exploits",
        "vmsplice remap_file_pages modify_ldt "
        "memfd_secret mbind set_mempolicy get_mempolicy migrate_pages move_pages map_shadow_stack",
    ),
    _make_group(
        "message queues",
        "rare in scripts, common in exploits",
        "msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr",
    ),
    _make_group(
        "own filters and capabilities",
        "both are set before the script starts",
        "seccomp capset landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    ),
)
