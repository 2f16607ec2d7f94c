/* plain.c - what the tests of cluster/ run on its hosts: a plain MPI program, no crew in it.
 *
 *   plain nodes               says where each rank is, and which of its node's it is
 *   plain code N              rank 0 returns N
 *   plain die RANK SIGNAL FILE N   that rank makes the file and dies of the signal; the others
 *                             wait for the file, and rank 0 returns N
 *   plain wait FILE N         says "waiting" in each rank until there is such a file; then they
 *                             end without MPI_Finalize, rank 0 with N
 *   plain usr1                rank 0 waits for SIGUSR1 and returns 85
 *   plain read                rank 0 returns the number in its standard input
 * and, without MPI:
 *   plain answer PORT         answers each connection, after saying "listening"
 *   plain ask HOST PORT       0: there was an answer; 2: silence for a second; 1: refused
 */
#include <mpi.h>

#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void wait_for(const char *file) {
    for (int i = 0; access(file, F_OK) != 0; i++) {
        if (i == 6000) {
            fprintf(stderr, "plain: there is no %s after a minute\n", file);
            _exit(99);
        }
        usleep(10000);
    }
}

static void make(const char *file) {
    FILE *made = fopen(file, "w");
    if (!made || fclose(made) != 0) _exit(98);
}

static int answer(const char *port) {
    struct addrinfo hints = {
        .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *at;
    if (getaddrinfo(NULL, port, &hints, &at) != 0) return 3;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, at->ai_addr, at->ai_addrlen) != 0 || listen(listener, 8) != 0) return 3;
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        int asked = accept(listener, NULL, NULL);
        if (asked < 0 || write(asked, "x", 1) != 1) return 3;
        close(asked);
    }
}

static int ask(const char *host, const char *port) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *at;
    char got;
    if (getaddrinfo(host, port, &hints, &at) != 0) return 3;
    int asked = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(asked, at->ai_addr, at->ai_addrlen);
    struct pollfd answered = {.fd = asked, .events = POLLIN};
    if (poll(&answered, 1, 1000) == 0) return 2;
    return read(asked, &got, 1) == 1 ? 0 : 1;
}

static void say_where(int rank, int size) {
    MPI_Comm node;
    char host[64];
    int node_rank, node_size;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &node_rank);
    MPI_Comm_size(node, &node_size);
    gethostname(host, sizeof host);
    printf("%s: rank %d of %d, %d of %d there\n", host, rank, size, node_rank, node_size);
    MPI_Comm_free(&node);
}

static volatile sig_atomic_t got_usr1;

static void on_usr1(int signal) {
    (void)signal;
    got_usr1 = 1;
}

static int usr1(int rank) {
    if (rank != 0) return 0;
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGUSR1, on_usr1);
    printf("waiting\n");
    fflush(stdout);
    while (!got_usr1)
        sigsuspend(&before);
    return 85;
}

static int of_rank0(int rank, const char *code) {
    return rank == 0 ? atoi(code) : 0;
}

int main(int argc, char **argv) {
    int rank, size, code = 0, number;
    const char *what = argc > 1 ? argv[1] : "nodes";
    if (strcmp(what, "answer") == 0) return answer(argv[2]);
    if (strcmp(what, "ask") == 0) return ask(argv[2], argv[3]);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (strcmp(what, "nodes") == 0) say_where(rank, size);
    if (strcmp(what, "code") == 0) code = of_rank0(rank, argv[2]);
    if (strcmp(what, "usr1") == 0) code = usr1(rank);
    if (strcmp(what, "read") == 0 && rank == 0) code = scanf("%d", &number) == 1 ? number : 97;
    if (strcmp(what, "die") == 0) {
        if (rank == atoi(argv[2])) {
            make(argv[4]);
            raise(atoi(argv[3]));
        }
        wait_for(argv[4]);
        code = of_rank0(rank, argv[5]);
    }
    if (strcmp(what, "wait") == 0) {
        MPI_Barrier(MPI_COMM_WORLD);
        printf("waiting\n");
        fflush(stdout);
        wait_for(argv[2]);
        _exit(of_rank0(rank, argv[3]));
    }
    MPI_Finalize();
    return code;
}
