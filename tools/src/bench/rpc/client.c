/* Null calls of libtirpc's, one after the other: client ADDRESS PORT udp|tcp SECONDS. Prints the median and the 99th
   percentile in microseconds, and how many there were. */
#include <arpa/inet.h>
#include <rpc/rpc.h>
#include <rpc/clnt_soc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRAM 0x20746701
#define CALLS_MAX 4000000

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        return 2;
    }
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    struct timeval again = {1, 0}, patience = {10, 0};
    int fd = RPC_ANYSOCK;
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    CLIENT *client = strcmp(argv[3], "udp") == 0
                         ? clntudp_create(&server, PROGRAM, 1, again, &fd)
                         : clnttcp_create(&server, PROGRAM, 1, &fd, 0, 0);
    double *times = malloc(CALLS_MAX * sizeof *times);
    if (client == NULL || times == NULL) {
        clnt_pcreateerror(argv[1]);
        return 1;
    }
    double begun = seconds(), before = begun, until = begun + atof(argv[4]);
    size_t calls = 0;
    while (before < until && calls < CALLS_MAX) {
        if (clnt_call(client, NULLPROC, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, patience) !=
            RPC_SUCCESS) {
            clnt_perror(client, "a null call");
            return 1;
        }
        double now = seconds();
        times[calls++] = (now - before) * 1e6;
        before = now;
    }
    /* The first ones pay for the ARP exchange and cold caches. */
    size_t cold = calls / 20;
    qsort(times + cold, calls - cold, sizeof *times, ascending);
    printf("%f %f %zu\n", times[cold + (calls - cold) / 2], times[cold + (calls - cold) * 99 / 100], calls);
    return 0;
}
