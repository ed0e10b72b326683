// The hostile program of the conformance suite: each subcommand tries one way out of the sandbox, or one way to take
// more than was given, and says on standard output how far it came.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1L << 20)

// say prints one try: its name, and the error's name or "done".
static void say(const char *what, long result) {
	printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
	fflush(stdout);
}

static void forever(void) {
	for (;;) pause();
}

// ready tells the outside that the program is under way, by a file in the view.
static void ready(void) { close(open("/work/ready", O_CREAT | O_WRONLY, 0644)); }

// forks starts processes that stay until one fails, and prints how many there were.
static int forks(void) {
	int n = 0;
	for (; n < 20000; n++) {
		pid_t pid = fork();
		if (pid < 0) break;
		if (pid == 0) forever();
	}
	printf("%d %s\n", n, errno ? strerrorname_np(errno) : "");
	return 0;
}

static void *thread(void *unused) {
	(void)unused;
	forever();
	return NULL;
}

// threads does as forks does, with threads.
static int threads(void) {
	int n = 0, err = 0;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (; n < 20000; n++) {
		pthread_t t;
		if ((err = pthread_create(&t, &attr, thread, NULL)) != 0) break;
	}
	printf("%d %s\n", n, err ? strerrorname_np(err) : "");
	fflush(stdout);
	_exit(0);
}

// bomb forks without end, every process.
static int bomb(void) {
	ready();
	for (;;)
		if (fork() < 0) usleep(1000);
	return 0;
}

// allocate takes memory in steps of a MiB, up to 4 GiB, and prints every one that it got.
static int allocate(const char *how) {
	for (int i = 1; i <= 4096; i++) {
		int flags = MAP_PRIVATE | MAP_ANONYMOUS, file = -1;
		if (strcmp(how, "shared") == 0) flags = MAP_SHARED | MAP_ANONYMOUS;
		if (strcmp(how, "memfd") == 0) {
			flags = MAP_SHARED;
			file = memfd_create("bomb", 0);
			if (file < 0 || ftruncate(file, MIB) < 0) return 3;
		}
		char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, flags, file, 0);
		if (p == MAP_FAILED) {
			say("mmap", -1);
			return 3;
		}
		if (file >= 0) close(file);
		memset(p, 1, MIB);
		printf("%d\n", i);
		fflush(stdout);
	}
	return 0;
}

// spread takes 16 MiB in each of 64 processes, no one of which is big.
static int spread(void) {
	for (int i = 0; i < 64; i++) {
		if (fork() == 0) {
			char *p = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
			say("spread", p == MAP_FAILED ? -1 : 0);
			forever();
		}
		usleep(2000);
	}
	forever();
	return 0;
}

// fill writes one file until there is no more room, and prints how many bytes there were.
static int fill(const char *dir) {
	char path[256], block[1 << 16];
	snprintf(path, sizeof path, "%s/filler", dir);
	memset(block, 7, sizeof block);
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	if (fd < 0) {
		say("open", -1);
		return 1;
	}
	long total = 0;
	for (;;) {
		ssize_t n = write(fd, block, sizeof block);
		if (n <= 0) break;
		total += n;
		if (total > 4096 * MIB) break;
	}
	printf("%ld %s\n", total, strerrorname_np(errno));
	return 0;
}

// litter makes empty files until there is no more room, and prints how many.
static int litter(const char *dir) {
	char path[256];
	int n = 0;
	for (; n < 20000; n++) {
		snprintf(path, sizeof path, "%s/litter-%d", dir, n);
		int fd = open(path, O_CREAT | O_WRONLY, 0644);
		if (fd < 0) break;
		close(fd);
	}
	printf("%d %s\n", n, strerrorname_np(errno));
	return 0;
}

// daemonise leaves a process behind that holds on to everything that it inherited.
static int daemonise(void) {
	if (fork() > 0) {
		while (access("/work/ready", F_OK) != 0) usleep(1000);
		printf("parent gone\n");
		return 0;
	}
	setsid();
	if (fork() > 0) _exit(0);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, 0);
	ready();
	forever();
	return 0;
}

// stubborn ignores every signal that can be ignored, in itself and in a child of another session.
static int stubborn(void) {
	for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, 0);
	if (fork() == 0) setsid();
	ready();
	forever();
	return 0;
}

// spin burns the processor in n processes.
static int spin(int n) {
	for (int i = 1; i < n; i++)
		if (fork() == 0) break;
	for (volatile long i = 0;; i++) {}
	return 0;
}

// dial tries to connect to IPv4 addresses.
static int dial(int port, int n, char **hosts) {
	for (; n > 0; n--, hosts++) {
		const char *host = *hosts;
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
		inet_pton(AF_INET, host, &to.sin_addr);
		struct timeval patience = {.tv_sec = 3};
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
		say(host, connect(fd, (struct sockaddr *)&to, sizeof to));
	}
	return 0;
}

// post tries to send a datagram.
static int post(const char *host, int port) {
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, host, &to.sin_addr);
	say(host, sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
	return 0;
}

// knock tries to connect to a Unix socket; '@' begins an abstract name.
static int knock(const char *name) {
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	strncpy(to.sun_path, name, sizeof to.sun_path - 1);
	if (name[0] == '@') to.sun_path[0] = 0;
	say(name, connect(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + strlen(name)));
	return 0;
}

// loopback talks to itself over 127.0.0.1.
static int loopback(void) {
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = 0, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	if (bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, 1) < 0) {
		say("listen", -1);
		return 1;
	}
	getsockname(listener, (struct sockaddr *)&at, &size);
	if (fork() == 0) {
		int c = accept(listener, NULL, NULL);
		_exit(write(c, "hello", 5) != 5);
	}
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&at, size) < 0) {
		say("connect", -1);
		return 1;
	}
	char buffer[8] = {0};
	if (read(fd, buffer, 5) != 5) return 1;
	puts(buffer);
	return 0;
}

static int child_of_clone(void *unused) {
	(void)unused;
	return 0;
}

// calls tries system calls that a sandbox must not let through.
static int calls(void) {
	char *stack = malloc(MIB);
	stack += MIB;
	say("mount tmpfs", mount("x", "/tmp", "tmpfs", 0, NULL));
	say("mount bind", mount("/usr", "/tmp", NULL, MS_BIND, NULL));
	say("remount root", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
	say("umount", umount2("/work", MNT_DETACH));
	say("pivot_root", syscall(SYS_pivot_root, "/work", "/work"));
	say("chroot", chroot("/work"));
	say("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
	say("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/usr", 1));
	say("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, NULL, 0));
	say("unshare user", unshare(CLONE_NEWUSER));
	say("unshare net", unshare(CLONE_NEWNET));
	say("unshare mount", unshare(CLONE_NEWNS));
	say("clone user", clone(child_of_clone, stack, CLONE_NEWUSER | SIGCHLD, NULL));
	say("clone pid", clone(child_of_clone, stack, CLONE_NEWPID | SIGCHLD, NULL));
	struct { unsigned long flags, rest[10]; } args = {.flags = CLONE_NEWUSER};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0) _exit(0);
	say("clone3 user", pid);
	int ns = open("/proc/1/ns/mnt", O_RDONLY);
	if (ns < 0) ns = open("/proc/self/ns/mnt", O_RDONLY);
	say("setns", setns(ns, 0));
	say("ptrace traceme", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	say("ptrace parent", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
	char byte;
	struct iovec here = {&byte, 1}, there = {stack - 1, 1};
	say("process_vm_readv", process_vm_readv(getppid(), &here, 1, &there, 1, 0));
	say("process_vm_writev", process_vm_writev(getppid(), &here, 1, &there, 1, 0));
	say("mknod char", mknod("/work/null", S_IFCHR | 0666, makedev(1, 3)));
	say("mknod block", mknod("/tmp/vda", S_IFBLK | 0666, makedev(254, 0)));
	say("mknod kmem", mknodat(AT_FDCWD, "/tmp/kmem", S_IFCHR | 0666, makedev(1, 2)));
	say("bpf", syscall(SYS_bpf, 0, NULL, 0));
	say("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	say("userfaultfd", syscall(SYS_userfaultfd, 1));
	say("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
	say("keyctl", syscall(SYS_keyctl, 0, -3, 1));
	say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
	say("init_module", syscall(SYS_init_module, NULL, 0, ""));
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	say("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
	say("swapon", syscall(SYS_swapon, "/work/x", 0));
	say("sethostname", sethostname("x", 1));
	struct timeval now = {.tv_sec = 1};
	say("settimeofday", settimeofday(&now, NULL));
	say("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY));
	say("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0));
	say("fanotify_init", syscall(SYS_fanotify_init, 0, 0));
	say("acct", acct("/work/acct"));
	say("setuid root", setuid(0));
	say("setgid root", setgid(0));
	say("setgroups", syscall(SYS_setgroups, 1, (gid_t[]){0}));
	say("chown root", chown("/work", 0, 0));
	say("raise nproc", setrlimit(RLIMIT_CORE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}));
	say("negative nice", setpriority(PRIO_PROCESS, 0, -20));
	say("tiocsti", ioctl(0, TIOCSTI, "x"));
	say("personality", personality(PER_LINUX32));
	return 0;
}

// allowed makes calls that sanitizers and language runtimes need.
static int allowed(void) {
	say("personality query", personality(0xffffffff));
	say("personality no randomisation", personality(ADDR_NO_RANDOMIZE));
	say("mkfifo", mkfifo("/tmp/fifo", 0600));
	say("mknod file", mknod("/tmp/file", S_IFREG | 0600, 0));
	say("shm_open", shm_open("/shm", O_CREAT | O_RDWR, 0600));
	void *huge = mmap(NULL, 1L << 44, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	say("reserve 16 TiB", huge == MAP_FAILED ? -1 : 0);
	say("eventfd", syscall(SYS_eventfd2, 0, 0));
	say("pipe", pipe((int[2]){0, 0}));
	pthread_t t;
	say("thread", pthread_create(&t, NULL, thread, NULL) ? -1 : 0);
	return 0;
}

#ifdef __x86_64__
// foreign makes getpid's system call by the 32-bit door, where a filter that forgot it would let mount through too.
static int foreign(void) {
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
	printf("int80 %s\n", result == getpid() ? "done" : "refused");
	return 0;
}

// x32 makes it by the x32 door.
static int x32(void) {
	long result = syscall(0x40000000 | SYS_getpid);
	printf("x32 %s\n", result == getpid() ? "done" : "refused");
	return 0;
}
#endif

// scribble tries to open files for writing.
static int scribble(int n, char **paths) {
	for (int i = 0; i < n; i++) {
		int fd = open(paths[i], O_WRONLY);
		say(paths[i], fd);
		if (fd >= 0) close(fd);
	}
	return 0;
}

// reach tries to open files for reading.
static int reach(int n, char **paths) {
	for (int i = 0; i < n; i++) {
		int fd = open(paths[i], O_RDONLY | O_NONBLOCK);
		char byte;
		say(paths[i], fd < 0 ? fd : read(fd, &byte, 1) < 0 && errno != EISDIR ? -1 : 0);
		if (fd >= 0) close(fd);
	}
	return 0;
}

// shoot tries to kill processes by their numbers, then everything.
static int shoot(int n, char **pids) {
	for (int i = 0; i < n; i++) say(pids[i], kill(atoi(pids[i]), SIGKILL));
	say("first process", kill(1, SIGKILL));
	say("group of first", kill(-1, 0));
	return 0;
}

// ids prints who the process is.
static int ids(void) {
	uid_t r, e, s;
	gid_t g, f, t;
	getresuid(&r, &e, &s);
	getresgid(&g, &f, &t);
	printf("%d %d %d %d %d %d\n", r, e, s, g, f, t);
	return 0;
}

// sparse makes files that are all hole.
static int sparse(int n) {
	char path[64];
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "/work/sparse-%d", i);
		int fd = open(path, O_CREAT | O_RDWR, 0644);
		if (fd < 0 || ftruncate(fd, 16 * MIB) < 0) {
			say(path, -1);
			return 1;
		}
		if (pwrite(fd, "end", 3, 16 * MIB - 3) != 3) return 1;
		close(fd);
	}
	return 0;
}

// shout tries to write to the terminal of whoever started the sandbox, and to type into it.
static int shout(void) {
	const char *word = "PWNED";
	int fd = open("/dev/tty", O_RDWR);
	if (fd >= 0) {
		say("write", write(fd, word, 5));
		for (; *word; word++) say("type", ioctl(fd, TIOCSTI, word));
	}
	for (int i = 0; i < 64; i++) {
		char path[32];
		snprintf(path, sizeof path, "/dev/pts/%d", i);
		if ((fd = open(path, O_RDWR)) >= 0) say(path, write(fd, "PWNED", 5));
	}
	return 0;
}

int main(int argc, char **argv) {
	const char *what = argc > 1 ? argv[1] : "";
	const char *arg = argc > 2 ? argv[2] : "";
#define IS(name) (strcmp(what, name) == 0)
	if (IS("forks")) return forks();
	if (IS("threads")) return threads();
	if (IS("bomb")) return bomb();
	if (IS("allocate")) return allocate(arg);
	if (IS("spread")) return spread();
	if (IS("fill")) return fill(arg);
	if (IS("litter")) return litter(arg);
	if (IS("daemonise")) return daemonise();
	if (IS("stubborn")) return stubborn();
	if (IS("spin")) return spin(atoi(arg));
	if (IS("dial")) return dial(atoi(arg), argc - 3, argv + 3);
	if (IS("post")) return post(arg, atoi(argv[3]));
	if (IS("knock")) return knock(arg);
	if (IS("loopback")) return loopback();
	if (IS("calls")) return calls();
	if (IS("allowed")) return allowed();
	if (IS("scribble")) return scribble(argc - 2, argv + 2);
	if (IS("reach")) return reach(argc - 2, argv + 2);
	if (IS("shoot")) return shoot(argc - 2, argv + 2);
	if (IS("shout")) return shout();
	if (IS("ids")) return ids();
	if (IS("sparse")) return sparse(atoi(arg));
#ifdef __x86_64__
	if (IS("foreign")) return foreign();
	if (IS("x32")) return x32();
#endif
	if (IS("exit")) return atoi(arg);
	if (IS("signal")) {
		signal(atoi(arg), SIG_DFL);
		raise(atoi(arg));
		return 99;
	}
	fprintf(stderr, "unknown: %s\n", what);
	return 98;
}
