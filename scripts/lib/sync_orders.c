/* Loaded into a server ahead of its C library: fdatasync and fsync do first what a file orders.
 *
 * The file named by SYNC_ORDERS holds a number of milliseconds to wait, or the word "fail" for EIO; it is read again
 * at each call, so a running server's disk can become slow, fail and recover. Only the thread that syncs waits, and
 * only as long as there are orders: a disk that recovers ends the sync that hung. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS 50

static int obey(void)
{
    const char *path = getenv("SYNC_ORDERS");
    FILE *orders = path ? fopen(path, "re") : NULL;
    char line[32] = "";
    if (orders == NULL)
        return 0;
    if (fgets(line, sizeof line, orders) == NULL)
        line[0] = '\0';
    fclose(orders);
    if (strncmp(line, "fail", 4) == 0) {
        errno = EIO;
        return -1;
    }
    long ms = strtol(line, NULL, 10);
    const struct timespec step = { 0, STEP_MS * 1000000 };
    for (; ms > STEP_MS && access(path, F_OK) == 0; ms -= STEP_MS)
        nanosleep(&step, NULL);
    const struct timespec rest = { 0, ms > 0 && ms <= STEP_MS ? ms * 1000000 : 0 };
    nanosleep(&rest, NULL);
    return 0;
}

int fdatasync(int file)
{
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    return obey() == 0 ? real(file) : -1;
}

int fsync(int file)
{
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
    return obey() == 0 ? real(file) : -1;
}
