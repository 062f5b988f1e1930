// A program on samuel/go-zookeeper, the Go client that most others descend from, over an ensemble: data, sequences,
// ephemerals, watches, multi, ACLs, its lock, and the leader killed under its session.
//
// Reads ENSEMBLE_HOSTS and ENSEMBLE_PIDS (port=pid,...). Prints a line per fact; ends with 1 at the first that does
// not hold.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/samuel/go-zookeeper/zk"
)

const (
	sessionTimeout = 10 * time.Second
	patience       = 20 * time.Second
)

var open = zk.WorldACL(zk.PermAll)

func check(holds bool, fact string) {
	if !holds {
		fmt.Println("  FAILED:", fact)
		os.Exit(1)
	}
	fmt.Println("  ok:", fact)
}

func must(err error, what string) {
	if err != nil {
		check(false, fmt.Sprintf("%s: %v", what, err))
	}
}

func connect(hosts []string) (*zk.Conn, <-chan zk.Event) {
	conn, events, err := zk.Connect(hosts, sessionTimeout, zk.WithLogger(log.New(io.Discard, "", 0)))
	must(err, "connect")
	return conn, events
}

// synced returns a client that sees all that was done before; it may be connected to a member that lags.
func synced(conn *zk.Conn) *zk.Conn {
	_, err := conn.Sync("/")
	must(err, "sync")
	return conn
}

func await(events <-chan zk.Event, kind zk.EventType, path, fact string) {
	select {
	case event := <-events:
		check(event.Type == kind && event.Path == path, fact)
	case <-time.After(patience):
		check(false, fact+" (no event)")
	}
}

func data(one, other *zk.Conn) {
	path, err := one.Create("/go", []byte("one"), 0, open)
	check(err == nil && path == "/go", "create answers with the path")
	_, err = one.Create("/go", nil, 0, open)
	check(err == zk.ErrNodeExists, "a second create is refused")
	value, stat, err := synced(other).Get("/go")
	check(err == nil && string(value) == "one" && stat.Version == 0, "another client reads it")
	stat, err = one.Set("/go", []byte("two"), 0)
	check(err == nil && stat.Version == 1, "set answers with the new version")
	_, err = one.Set("/go", []byte("three"), 0)
	check(err == zk.ErrBadVersion, "an old version is refused")
	first, err := one.Create("/go/s-", nil, zk.FlagSequence, open)
	must(err, "create in sequence")
	second, err := one.Create("/go/s-", nil, zk.FlagSequence, open)
	check(err == nil && first < second, "sequential names rise")
	_, err = one.Create("/absent/x", nil, 0, open)
	check(err == zk.ErrNoNode, "a parent has to be there")
	must(one.Delete(first, -1), "delete")
	check(one.Delete("/go", -1) == zk.ErrNotEmpty, "a node with children stays")
	children, stat, err := synced(other).Children("/go")
	check(err == nil && len(children) == 1 && stat.NumChildren == 1, "children are listed")
	big := make([]byte, 1000*1000)
	_, err = one.Create("/go/big", big, 0, open)
	must(err, "create a large one")
	value, _, err = synced(other).Get("/go/big")
	check(err == nil && len(value) == len(big), "a megabyte comes back whole")
}

func watches(one, other *zk.Conn) {
	is, _, created, err := one.ExistsW("/go/w")
	check(err == nil && !is, "it is not there yet")
	_, err = other.Create("/go/w", []byte("a"), 0, open)
	must(err, "create")
	await(created, zk.EventNodeCreated, "/go/w", "its creation is told")
	_, _, changed, err := one.GetW("/go/w")
	must(err, "get")
	_, err = other.Set("/go/w", []byte("b"), -1)
	must(err, "set")
	await(changed, zk.EventNodeDataChanged, "/go/w", "its change is told")
	// Not earlier: this client hands an event of data to who waits for children, too.
	_, _, listed, err := one.ChildrenW("/go/w")
	must(err, "children")
	_, err = other.Create("/go/w/x", nil, 0, open)
	must(err, "create a child")
	await(listed, zk.EventNodeChildrenChanged, "/go/w", "its child is told")
}

func multi(one *zk.Conn) {
	answers, err := one.Multi(&zk.CheckVersionRequest{Path: "/go", Version: 1},
		&zk.CreateRequest{Path: "/go/m", Data: []byte("m"), Acl: open},
		&zk.SetDataRequest{Path: "/go/m", Data: []byte("n"), Version: 0},
		&zk.DeleteRequest{Path: "/go/m", Version: 1})
	check(err == nil && len(answers) == 4 && answers[1].String == "/go/m" && answers[2].Stat.Version == 1, "a multi answers for each operation")
	_, err = one.Multi(&zk.CreateRequest{Path: "/go/n", Acl: open}, &zk.CheckVersionRequest{Path: "/go", Version: 9})
	is, _, _ := one.Exists("/go/n")
	check(err != nil && !is, "one that cannot be done leaves nothing")
}

func identities(one *zk.Conn, hosts []string) {
	_, err := one.Create("/go/mine", []byte("secret"), 0, zk.DigestACL(zk.PermAll, "user", "secret"))
	must(err, "create with an ACL")
	_, _, err = one.Get("/go/mine")
	check(err == zk.ErrNoAuth, "who has no identity may not read")
	owner, _ := connect(hosts)
	defer owner.Close()
	must(owner.AddAuth("digest", []byte("user:secret")), "auth")
	value, _, err := owner.Get("/go/mine")
	check(err == nil && string(value) == "secret", "its owner may")
	acl, _, err := owner.GetACL("/go/mine")
	check(err == nil && len(acl) == 1 && acl[0].Scheme == "digest", "the ACL is told")
	stat, err := owner.SetACL("/go/mine", open, 0)
	check(err == nil && stat.Aversion == 1, "and changed")
}

func locks(conns []*zk.Conn) {
	var inside, turns int32
	var all sync.WaitGroup
	for _, conn := range conns {
		all.Add(1)
		go func(conn *zk.Conn) {
			defer all.Done()
			for i := 0; i < 20; i++ {
				lock := zk.NewLock(conn, "/go/lock", open)
				must(lock.Lock(), "lock")
				if atomic.AddInt32(&inside, 1) != 1 {
					check(false, "one at a time holds the lock")
				}
				atomic.AddInt32(&inside, -1)
				atomic.AddInt32(&turns, 1)
				must(lock.Unlock(), "unlock")
			}
		}(conn)
	}
	all.Wait()
	check(turns == int32(20*len(conns)), "one at a time holds the lock, and each gets it")
}

// srvr returns a member's answer to the word, or nothing. The client's own reads no answer of ZooKeeper 3.8 either.
func srvr(host string) string {
	conn, err := net.DialTimeout("tcp", host, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte("srvr"))
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// leader returns the address of the member that leads.
func leader(hosts []string) string {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, host := range hosts {
			if strings.Contains(srvr(host), "Mode: leader") {
				return host
			}
		}
	}
	check(false, "somebody leads")
	return ""
}

func kill(host string) {
	_, port, _ := strings.Cut(host, ":")
	for _, member := range strings.Split(os.Getenv("ENSEMBLE_PIDS"), ",") {
		name, pid, _ := strings.Cut(member, "=")
		if name == port {
			number, err := strconv.Atoi(pid)
			must(err, "a pid")
			must(syscall.Kill(number, syscall.SIGKILL), "kill")
		}
	}
}

func survives(hosts []string) {
	first := leader(hosts)
	// At the leader to begin with, and at any other then.
	others := []string{first}
	for _, host := range hosts {
		if host != first {
			others = append(others, host)
		}
	}
	conn, _, err := zk.Connect(others, sessionTimeout, zk.WithLogger(log.New(io.Discard, "", 0)), zk.WithHostProvider(&inOrder{}))
	must(err, "connect")
	defer conn.Close()
	path, err := conn.CreateProtectedEphemeralSequential("/go/e-", nil, open)
	must(err, "create an ephemeral")
	session := conn.SessionID()
	_, _, changed, err := conn.GetW("/go")
	must(err, "get")
	kill(first)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err = conn.Set("/go", []byte("after"), -1); err == nil || time.Now().After(deadline) {
			break
		}
	}
	check(err == nil && conn.SessionID() == session, "the session goes on at another member")
	is, stat, err := conn.Exists(path)
	check(err == nil && is && stat.EphemeralOwner == session, "its ephemeral is there")
	await(changed, zk.EventNodeDataChanged, "/go", "its watch is there")
	check(leader(hosts) != first, "another member leads")
}

// inOrder hands out the servers as they were given, over and over.
type inOrder struct {
	servers []string
	next    int
}

func (order *inOrder) Init(servers []string) error {
	order.servers = servers
	return nil
}

func (order *inOrder) Len() int { return len(order.servers) }

func (order *inOrder) Next() (string, bool) {
	server := order.servers[order.next%len(order.servers)]
	order.next++
	return server, order.next > 1 && (order.next-1)%len(order.servers) == 0
}

func (order *inOrder) Connected() {}

func main() {
	hosts := strings.Split(os.Getenv("ENSEMBLE_HOSTS"), ",")
	one, _ := connect(hosts)
	other, _ := connect(hosts)
	third, _ := connect(hosts)
	data(one, other)
	watches(one, other)
	multi(one)
	identities(one, hosts)
	locks([]*zk.Conn{one, other, third})
	ephemeral, err := third.Create("/go/gone", nil, zk.FlagEphemeral, open)
	must(err, "create")
	third.Close()
	is, _, err := synced(one).Exists(ephemeral)
	check(err == nil && !is, "an ephemeral goes with its session")
	survives(hosts)
}
