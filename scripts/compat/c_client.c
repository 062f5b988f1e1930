/*
 * Drives an ensemble through Apache ZooKeeper's C library, and kills the member it is connected to.
 * Reads ENSEMBLE_HOSTS (host:port,...) and ENSEMBLE_PIDS (port=pid,...). Ends with 0 when all held.
 */
#define THREADED
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

#define SESSION_TIMEOUT_MS 8000
#define EVENT_TIMEOUT_S 10
#define FAILOVER_TIMEOUT_S 30
#define EVENTS_MAX 64
#define PATH_LEN_MAX 256
#define RETRIES_MAX 200

struct event {
    int type;
    int state;
    char path[PATH_LEN_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static struct event events[EVENTS_MAX];
static int event_count;
static int sessions_connected;
static int sessions_lost;

static void check(int holds, const char *fact) {
    if (!holds) {
        printf("  FAILED: %s\n", fact);
        exit(1);
    }
    printf("  ok: %s\n", fact);
    fflush(stdout);
}

static void on_event(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh;
    (void)context;
    pthread_mutex_lock(&lock);
    if (type == ZOO_SESSION_EVENT) {
        sessions_connected += state == ZOO_CONNECTED_STATE;
        sessions_lost += state == ZOO_EXPIRED_SESSION_STATE;
    } else if (event_count < EVENTS_MAX) {
        struct event *event = &events[event_count++];
        event->type = type;
        event->state = state;
        snprintf(event->path, sizeof event->path, "%s", path);
    }
    pthread_cond_broadcast(&arrived);
    pthread_mutex_unlock(&lock);
}

/* Waits until *counter reaches at_least; returns whether it did. */
static int wait_for(const int *counter, int at_least, int timeout_s) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += timeout_s;
    pthread_mutex_lock(&lock);
    int error = 0;
    while (*counter < at_least && error == 0) {
        error = pthread_cond_timedwait(&arrived, &lock, &deadline);
    }
    int reached = *counter >= at_least;
    pthread_mutex_unlock(&lock);
    return reached;
}

static int event_is(int index, int type, const char *path) {
    pthread_mutex_lock(&lock);
    int same = event_count > index && events[index].type == type && strcmp(events[index].path, path) == 0;
    pthread_mutex_unlock(&lock);
    return same;
}

static int connected_port(zhandle_t *zh) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (zookeeper_get_connected_host(zh, (struct sockaddr *)&address, &len) == NULL) {
        return 0;
    }
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void kill_member(int port) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%d=", port);
    const char *pids = getenv("ENSEMBLE_PIDS");
    const char *found = pids == NULL ? NULL : strstr(pids, wanted);
    check(found != NULL, "the member connected to is one of ours");
    check(kill((pid_t)atoi(found + strlen(wanted)), SIGKILL) == 0, "that member is killed");
}

static void data(zhandle_t *zh) {
    char buffer[PATH_LEN_MAX];
    struct Stat stat;
    int len = sizeof buffer;

    check(zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, buffer, sizeof buffer) == ZOK &&
              strcmp(buffer, "/c") == 0, "create answers the path");
    check(zoo_create(zh, "/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZNODEEXISTS, "a taken path is refused");
    check(zoo_get(zh, "/c", 1, buffer, &len, &stat) == ZOK && len == 3 && memcmp(buffer, "one", 3) == 0 &&
              stat.version == 0 && stat.dataLength == 3, "get answers data and stat");
    check(zoo_exists(zh, "/c/later", 1, &stat) == ZNONODE, "exists of an absent path answers no node");
    check(zoo_set(zh, "/c", "two", 3, 0) == ZOK, "set with the right version");
    check(wait_for(&event_count, 1, EVENT_TIMEOUT_S) && event_is(0, ZOO_CHANGED_EVENT, "/c"), "set fires the get watch");
    check(zoo_set(zh, "/c", "three", 5, 0) == ZBADVERSION, "set with an old version is refused");
    check(zoo_create(zh, "/c/later", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZOK, "create of the watched path");
    check(wait_for(&event_count, 2, EVENT_TIMEOUT_S) && event_is(1, ZOO_CREATED_EVENT, "/c/later"),
          "create fires the exists watch");
    check(zoo_delete(zh, "/c", -1) == ZNOTEMPTY, "delete of a parent is refused");
    check(zoo_delete(zh, "/c/later", 0) == ZOK, "delete with the right version");
}

static void kinds(zhandle_t *zh) {
    char path[PATH_LEN_MAX];
    struct Stat stat;
    check(zoo_create2(zh, "/c/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE, path, sizeof path,
                      &stat) == ZOK && strcmp(path, "/c/s-0000000001") == 0, "sequence numbers count the creations");
    check(stat.ephemeralOwner == zoo_client_id(zh)->client_id, "an ephemeral names its session");
}

static void multi(zhandle_t *zh) {
    zoo_op_t operations[4];
    zoo_op_result_t results[4];
    char created[PATH_LEN_MAX];
    struct Stat stat;
    zoo_create_op_init(&operations[0], "/c/m", "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, created, sizeof created);
    zoo_set_op_init(&operations[1], "/c", "multi", 5, 1, &stat);
    zoo_check_op_init(&operations[2], "/c/m", 0);
    zoo_delete_op_init(&operations[3], "/c/m", 0);
    check(zoo_multi(zh, 4, operations, results) == ZOK && strcmp(created, "/c/m") == 0 && stat.version == 2,
          "a multi does all of its operations");
    check(zoo_exists(zh, "/c/m", 0, NULL) == ZNONODE, "in their order");
    zoo_set_op_init(&operations[0], "/c", "lost", 4, -1, &stat);
    zoo_delete_op_init(&operations[1], "/c/absent", -1);
    check(zoo_multi(zh, 2, operations, results) == ZNONODE && results[1].err == ZNONODE, "a failed multi says why");
    char buffer[16];
    int len = sizeof buffer;
    check(zoo_get(zh, "/c", 0, buffer, &len, &stat) == ZOK && len == 5 && memcmp(buffer, "multi", 5) == 0,
          "and does nothing");
}

static void children(zhandle_t *zh) {
    struct String_vector names;
    struct Stat stat;
    check(zoo_create(zh, "/c/a", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZOK, "one more child");
    check(zoo_get_children2(zh, "/c", 1, &names, &stat) == ZOK && names.count == 2 && stat.numChildren == 2,
          "children come with the parent's stat");
    deallocate_String_vector(&names);
}

/* Sets until an answer comes: a request in flight while a member dies has no known outcome. */
static int set_until_answered(zhandle_t *zh, const char *path) {
    int code = ZCONNECTIONLOSS;
    for (int i = 0; i < RETRIES_MAX && (code == ZCONNECTIONLOSS || code == ZOPERATIONTIMEOUT); i++) {
        code = zoo_set(zh, path, "after", 5, -1);
        if (code != ZOK) {
            nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
        }
    }
    return code;
}

static void reconnect(zhandle_t *zh) {
    struct Stat stat;
    int seen = event_count;
    int connected = sessions_connected;
    int port = connected_port(zh);
    int64_t session = zoo_client_id(zh)->client_id;
    check(zoo_exists(zh, "/c/a", 1, &stat) == ZOK, "a watch before the member goes");
    kill_member(port);
    check(wait_for(&sessions_connected, connected + 1, FAILOVER_TIMEOUT_S), "the client finds another member");
    check(connected_port(zh) != port && sessions_lost == 0, "it is another one and the session was not lost");
    check(zoo_client_id(zh)->client_id == session, "the session id is kept");
    check(set_until_answered(zh, "/c/a") == ZOK, "writes go on");
    check(wait_for(&event_count, seen + 1, EVENT_TIMEOUT_S) && event_is(seen, ZOO_CHANGED_EVENT, "/c/a"),
          "the watch was armed again on the new member");
    check(zoo_exists(zh, "/c/s-0000000001", 0, &stat) == ZOK && stat.ephemeralOwner == session, "the ephemeral is kept");
    check(zoo_create(zh, "/c/b", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZOK, "a new child");
    check(wait_for(&event_count, seen + 2, EVENT_TIMEOUT_S) && event_is(seen + 1, ZOO_CHILD_EVENT, "/c"),
          "the child watch was armed again too");
}

int main(void) {
    const char *hosts = getenv("ENSEMBLE_HOSTS");
    struct Stat stat;
    check(hosts != NULL, "ENSEMBLE_HOSTS names the members");
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *zh = zookeeper_init(hosts, on_event, SESSION_TIMEOUT_MS, NULL, NULL, 0);
    check(zh != NULL && wait_for(&sessions_connected, 1, FAILOVER_TIMEOUT_S), "connects");
    check(zoo_recv_timeout(zh) == SESSION_TIMEOUT_MS, "the session timeout asked for is granted");
    data(zh);
    kinds(zh);
    multi(zh);
    children(zh);
    reconnect(zh);
    check(zookeeper_close(zh) == ZOK, "closes");

    sessions_connected = 0;
    zh = zookeeper_init(hosts, on_event, SESSION_TIMEOUT_MS, NULL, NULL, 0);
    check(zh != NULL && wait_for(&sessions_connected, 1, FAILOVER_TIMEOUT_S), "connects again");
    check(zoo_exists(zh, "/c/s-0000000001", 0, &stat) == ZNONODE, "the closed session's ephemeral is gone");
    check(zookeeper_close(zh) == ZOK, "closes again");
    return 0;
}
