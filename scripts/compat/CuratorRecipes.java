// Curator's recipes over an ensemble, each with what it promises checked: several clients, as in several
// processes of an application, and the leader killed in the middle.
//
// Arguments: connect string, and the members as port=pid,port=pid,... Prints a line per fact; exit code 0 when
// all hold.

import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.Stat;

public final class CuratorRecipes {
    private static final int CLIENTS = 3;
    private static final int SESSION_TIMEOUT_MS = 10_000;
    private static final int CONNECTION_TIMEOUT_MS = 10_000;
    private static final int WAIT_S = 20;

    private final String hosts;
    private final Map<Integer, Long> pids = new HashMap<>();
    private final List<CuratorFramework> clients = new ArrayList<>();
    private final ExecutorService pool = Executors.newCachedThreadPool();

    private CuratorRecipes(String hosts, String members) {
        this.hosts = hosts;
        for (String member : members.split(",")) {
            String[] parts = member.split("=");
            pids.put(Integer.parseInt(parts[0]), Long.parseLong(parts[1]));
        }
        for (int i = 0; i < CLIENTS; i++) {
            clients.add(client());
        }
    }

    public static void main(String[] arguments) throws Exception {
        CuratorRecipes recipes = new CuratorRecipes(arguments[0], arguments[1]);
        recipes.data();
        recipes.identities();
        recipes.transactions();
        recipes.mutex();
        recipes.readWriteLock();
        recipes.semaphore();
        recipes.counters();
        recipes.barriers();
        recipes.caches();
        recipes.queue();
        recipes.groups();
        recipes.elections();
        recipes.leaderKilled();
        // Threads of clients that still run must not keep the process.
        System.exit(0);
    }

    private static void check(boolean holds, String fact) {
        if (!holds) {
            System.out.println("  FAILED: " + fact);
            System.exit(1);
        }
        System.out.println("  ok: " + fact);
    }

    private static void eventually(Callable<Boolean> probe, String fact) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
        while (!probe.call()) {
            if (System.nanoTime() > deadline) {
                check(false, fact + " (not within " + WAIT_S + " s)");
            }
            Thread.sleep(20);
        }
        check(true, fact);
    }

    private CuratorFramework client() {
        return started(CuratorFrameworkFactory.builder());
    }

    private CuratorFramework started(CuratorFrameworkFactory.Builder builder) {
        CuratorFramework client = builder.connectString(hosts).sessionTimeoutMs(SESSION_TIMEOUT_MS)
            .connectionTimeoutMs(CONNECTION_TIMEOUT_MS).retryPolicy(new ExponentialBackoffRetry(50, 10, 1000)).build();
        client.start();
        return client;
    }

    /** Returns a client that sees all that was done before; it may be connected to a member that lags. */
    private CuratorFramework synced(int index) throws Exception {
        CuratorFramework client = clients.get(index);
        client.sync().forPath("/");
        return client;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private void data() throws Exception {
        CuratorFramework client = clients.get(0);
        client.create().creatingParentsIfNeeded().forPath("/data/a/b", bytes("one"));
        check(new String(synced(1).getData().forPath("/data/a/b")).equals("one"), "what one client creates another reads");
        Stat stat = client.setData().withVersion(0).forPath("/data/a/b", bytes("two"));
        check(stat.getVersion() == 1, "setData answers with the new version");
        try {
            client.setData().withVersion(0).forPath("/data/a/b", bytes("three"));
            check(false, "an old version is refused");
        } catch (KeeperException.BadVersionException e) {
            check(true, "an old version is refused");
        }
        String first = client.create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/data/s-");
        String second = client.create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/data/s-");
        check(first.compareTo(second) < 0, "sequential names rise");
        client.create().withMode(CreateMode.CONTAINER).forPath("/data/container");
        client.create().withTtl(60_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/data/ttl");
        check(client.checkExists().forPath("/data/ttl") != null, "containers and nodes with a time to live are created");
        String safe = client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/data/p-");
        check(safe.startsWith("/data/_c_"), "a protected create has its mark");
        String idempotent = client.create().idempotent().withMode(CreateMode.PERSISTENT).forPath("/data/i", bytes("x"));
        client.create().idempotent().withMode(CreateMode.PERSISTENT).forPath("/data/i", bytes("x"));
        check(idempotent.equals("/data/i"), "an idempotent create may come twice");
        BlockingQueue<String> background = new LinkedBlockingQueue<>();
        client.getData().inBackground((c, event) -> background.add(event.getType() + " " + event.getResultCode())).forPath("/data/a/b");
        check("GET_DATA 0".equals(background.poll(WAIT_S, TimeUnit.SECONDS)), "a read in the background is answered");
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        client.getChildren().usingWatcher((org.apache.zookeeper.Watcher) event -> events.add(event.getType() + " " + event.getPath()))
            .forPath("/data/a");
        clients.get(1).create().forPath("/data/a/c");
        check("NodeChildrenChanged /data/a".equals(events.poll(WAIT_S, TimeUnit.SECONDS)), "a watch of children fires");
        client.delete().deletingChildrenIfNeeded().forPath("/data/a");
        check(synced(1).checkExists().forPath("/data/a/b") == null, "a subtree is deleted");
        CuratorFramework below = client.usingNamespace("below");
        below.create().forPath("/x", bytes("here"));
        check(client.checkExists().forPath("/below/x") != null, "a namespace is below its node");
        try (PersistentWatcher watcher = new PersistentWatcher(client, "/data/w", true)) {
            BlockingQueue<String> seen = new LinkedBlockingQueue<>();
            watcher.getListenable().addListener(event -> seen.add(event.getType() + " " + event.getPath()));
            CountDown armed = new CountDown();
            watcher.getResetListenable().addListener(armed::done);
            watcher.start();
            armed.await("the persistent watch is set");
            clients.get(1).create().creatingParentsIfNeeded().forPath("/data/w/x/y");
            List<String> expected = List.of("NodeCreated /data/w", "NodeCreated /data/w/x", "NodeCreated /data/w/x/y");
            List<String> got = new ArrayList<>();
            for (int i = 0; i < expected.size(); i++) {
                got.add(seen.poll(WAIT_S, TimeUnit.SECONDS));
            }
            check(got.equals(expected), "a persistent recursive watch tells all of it in order");
        }
    }

    private void identities() throws Exception {
        CuratorFramework owner = started(CuratorFrameworkFactory.builder().authorization("digest", bytes("user:secret")));
        owner.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/mine", bytes("secret"));
        check(new String(owner.getData().forPath("/mine")).equals("secret"), "who created it reads it");
        try {
            synced(0).getData().forPath("/mine");
            check(false, "nobody else does");
        } catch (KeeperException.NoAuthException e) {
            check(true, "nobody else does");
        }
        owner.close();
    }

    private void transactions() throws Exception {
        CuratorFramework client = clients.get(0);
        client.create().forPath("/tx", bytes("0"));
        List<CuratorTransactionResult> results = client.transaction().forOperations(
            client.transactionOp().check().withVersion(0).forPath("/tx"),
            client.transactionOp().create().forPath("/tx/a"),
            client.transactionOp().setData().withVersion(0).forPath("/tx", bytes("1")),
            client.transactionOp().delete().forPath("/tx/a"));
        check(results.size() == 4 && results.get(2).getResultStat().getVersion() == 1, "a transaction answers for each operation");
        try {
            client.transaction().forOperations(client.transactionOp().create().forPath("/tx/b"),
                client.transactionOp().check().withVersion(7).forPath("/tx"));
            check(false, "a transaction that cannot be done is not");
        } catch (KeeperException.BadVersionException e) {
            check(client.checkExists().forPath("/tx/b") == null, "a transaction that cannot be done leaves nothing");
        }
    }

    /** Holds the lock from all clients many times; nobody ever sees somebody else inside. */
    private void mutex() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger turns = new AtomicInteger();
        List<Future<?>> workers = new ArrayList<>();
        for (CuratorFramework client : clients) {
            InterProcessMutex mutex = new InterProcessMutex(client, "/mutex");
            workers.add(pool.submit(() -> {
                for (int i = 0; i < 20; i++) {
                    mutex.acquire();
                    mutex.acquire();
                    if (inside.incrementAndGet() != 1) {
                        throw new IllegalStateException("two hold the lock");
                    }
                    Thread.sleep(1);
                    inside.decrementAndGet();
                    mutex.release();
                    mutex.release();
                    turns.incrementAndGet();
                }
                return null;
            }));
        }
        for (Future<?> worker : workers) {
            worker.get(WAIT_S, TimeUnit.SECONDS);
        }
        check(turns.get() == 20 * CLIENTS, "a mutex is held by one at a time, and again by who holds it");
        InterProcessMutex held = new InterProcessMutex(clients.get(0), "/mutex");
        held.acquire();
        check(!new InterProcessMutex(clients.get(1), "/mutex").acquire(200, TimeUnit.MILLISECONDS), "who cannot have it in time goes on");
        held.release();
    }

    private void readWriteLock() throws Exception {
        InterProcessReadWriteLock one = new InterProcessReadWriteLock(clients.get(0), "/rw");
        InterProcessReadWriteLock other = new InterProcessReadWriteLock(clients.get(1), "/rw");
        one.readLock().acquire();
        check(other.readLock().acquire(WAIT_S, TimeUnit.SECONDS), "two may read");
        check(!new InterProcessReadWriteLock(clients.get(2), "/rw").writeLock().acquire(200, TimeUnit.MILLISECONDS), "nobody writes meanwhile");
        one.readLock().release();
        other.readLock().release();
        check(one.writeLock().acquire(WAIT_S, TimeUnit.SECONDS), "one writes when they are done");
        check(!other.readLock().acquire(200, TimeUnit.MILLISECONDS), "and nobody reads meanwhile");
        one.writeLock().release();
    }

    private void semaphore() throws Exception {
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(clients.get(0), "/semaphore", 2);
        Lease first = semaphore.acquire();
        Lease second = new InterProcessSemaphoreV2(clients.get(1), "/semaphore", 2).acquire(WAIT_S, TimeUnit.SECONDS);
        InterProcessSemaphoreV2 third = new InterProcessSemaphoreV2(clients.get(2), "/semaphore", 2);
        check(second != null && third.acquire(200, TimeUnit.MILLISECONDS) == null, "two leases of two, and no third");
        first.close();
        check(third.acquire(WAIT_S, TimeUnit.SECONDS) != null, "a lease given back is another's");
    }

    private void counters() throws Exception {
        List<Future<?>> workers = new ArrayList<>();
        for (CuratorFramework client : clients) {
            DistributedAtomicLong counter = new DistributedAtomicLong(client, "/counter", new RetryNTimes(1000, 1));
            workers.add(pool.submit(() -> {
                for (int i = 0; i < 30; ) {
                    if (counter.increment().succeeded()) {
                        i++;
                    }
                }
                return null;
            }));
        }
        for (Future<?> worker : workers) {
            worker.get(WAIT_S, TimeUnit.SECONDS);
        }
        AtomicValue<Long> total = new DistributedAtomicLong(synced(0), "/counter", new RetryNTimes(10, 10)).get();
        check(total.postValue() == 30L * CLIENTS, "no increment is lost or counted twice");
        SharedCount mine = new SharedCount(clients.get(0), "/shared", 5);
        SharedCount theirs = new SharedCount(clients.get(1), "/shared", 5);
        mine.start();
        theirs.start();
        mine.setCount(6);
        eventually(() -> theirs.getCount() == 6, "a shared count is told to the others");
    }

    private void barriers() throws Exception {
        DistributedBarrier barrier = new DistributedBarrier(clients.get(0), "/barrier");
        barrier.setBarrier();
        Future<Boolean> waits = pool.submit(() -> new DistributedBarrier(synced(1), "/barrier").waitOnBarrier(WAIT_S, TimeUnit.SECONDS));
        Thread.sleep(200);
        check(!waits.isDone(), "a barrier holds");
        barrier.removeBarrier();
        check(waits.get(WAIT_S, TimeUnit.SECONDS), "and lets go");
        AtomicInteger entered = new AtomicInteger();
        List<Future<Integer>> members = new ArrayList<>();
        for (CuratorFramework client : clients) {
            DistributedDoubleBarrier both = new DistributedDoubleBarrier(client, "/double", CLIENTS);
            members.add(pool.submit(() -> {
                entered.incrementAndGet();
                both.enter(WAIT_S, TimeUnit.SECONDS);
                int seen = entered.get();
                both.leave(WAIT_S, TimeUnit.SECONDS);
                return seen;
            }));
        }
        for (Future<Integer> member : members) {
            check(member.get(WAIT_S, TimeUnit.SECONDS) == CLIENTS, "nobody passes a double barrier before all have come");
        }
    }

    private void caches() throws Exception {
        CuratorFramework writer = clients.get(0);
        writer.create().forPath("/cache", bytes("root"));
        CuratorCache cache = CuratorCache.build(clients.get(1), "/cache");
        Set<String> created = Collections.synchronizedSet(new HashSet<>());
        cache.listenable().addListener(CuratorCacheListener.builder().forCreates(node -> created.add(node.getPath())).build());
        cache.start();
        TreeCache tree = TreeCache.newBuilder(clients.get(2), "/cache").build();
        tree.start();
        for (int i = 0; i < 50; i++) {
            writer.create().forPath("/cache/n" + i, bytes("v" + i));
        }
        for (int i = 0; i < 50; i += 2) {
            writer.setData().forPath("/cache/n" + i, bytes("w" + i));
        }
        writer.delete().forPath("/cache/n1");
        eventually(() -> created.size() == 51, "a cache tells every creation");
        eventually(() -> {
            for (int i = 2; i < 50; i++) {
                String expected = (i % 2 == 0 ? "w" : "v") + i;
                ChildData cached = cache.get("/cache/n" + i).orElse(null);
                ChildData inTree = tree.getCurrentData("/cache/n" + i);
                if (cached == null || inTree == null || !new String(cached.getData()).equals(expected)
                    || !new String(inTree.getData()).equals(expected)) {
                    return false;
                }
            }
            return cache.get("/cache/n1").isEmpty() && tree.getCurrentData("/cache/n1") == null;
        }, "caches hold what is there");
        cache.close();
        tree.close();
    }

    private void queue() throws Exception {
        BlockingQueue<String> taken = new LinkedBlockingQueue<>();
        QueueSerializer<String> serializer = new QueueSerializer<>() {
            @Override
            public byte[] serialize(String item) {
                return bytes(item);
            }

            @Override
            public String deserialize(byte[] data) {
                return new String(data);
            }
        };
        QueueConsumer<String> consumer = new QueueConsumer<>() {
            @Override
            public void consumeMessage(String message) {
                taken.add(message);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
            }
        };
        DistributedQueue<String> out = QueueBuilder.builder(clients.get(0), consumer, serializer, "/queue").lockPath("/queue-locks").buildQueue();
        DistributedQueue<String> in = QueueBuilder.builder(clients.get(1), null, serializer, "/queue").buildQueue();
        out.start();
        in.start();
        Set<String> put = new HashSet<>();
        for (int i = 0; i < 20; i++) {
            put.add("item" + i);
            in.put("item" + i);
        }
        Set<String> got = new HashSet<>();
        for (int i = 0; i < 20; i++) {
            got.add(taken.poll(WAIT_S, TimeUnit.SECONDS));
        }
        check(got.equals(put) && taken.isEmpty(), "each item of a queue is taken once");
        out.close();
        in.close();
    }

    private void groups() throws Exception {
        GroupMember one = new GroupMember(clients.get(0), "/group", "one");
        GroupMember two = new GroupMember(clients.get(1), "/group", "two");
        one.start();
        two.start();
        eventually(() -> one.getCurrentMembers().keySet().equals(Set.of("one", "two")), "members of a group know each other");
        two.close();
        eventually(() -> one.getCurrentMembers().keySet().equals(Set.of("one")), "and who has left");
        one.close();
        PersistentNode node = new PersistentNode(clients.get(0), CreateMode.EPHEMERAL, false, "/persistent", bytes("here"));
        node.start();
        check(node.waitForInitialCreate(WAIT_S, TimeUnit.SECONDS), "a persistent node is created");
        synced(1).delete().forPath("/persistent");
        eventually(() -> clients.get(1).checkExists().forPath("/persistent") != null, "and comes again when it is deleted");
        node.close();
    }

    private void elections() throws Exception {
        CuratorFramework mortal = client();
        LeaderLatch first = new LeaderLatch(mortal, "/latch", "first");
        LeaderLatch second = new LeaderLatch(clients.get(1), "/latch", "second");
        first.start();
        eventually(first::hasLeadership, "the first to come leads");
        second.start();
        eventually(() -> second.getParticipants().size() == 2, "a second waits");
        check(!second.hasLeadership(), "and does not lead meanwhile");
        mortal.close();
        eventually(second::hasLeadership, "it leads when the first is gone");
        AtomicInteger led = new AtomicInteger();
        List<LeaderSelector> selectors = new ArrayList<>();
        for (CuratorFramework client : clients) {
            LeaderSelector selector = new LeaderSelector(client, "/selector", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework chosen) {
                    led.incrementAndGet();
                }
            });
            selector.start();
            selectors.add(selector);
        }
        eventually(() -> led.get() == CLIENTS, "each is selected in its turn");
        selectors.forEach(LeaderSelector::close);
    }

    /** Sessions, locks and ephemerals outlive the leader. */
    private void leaderKilled() throws Exception {
        InterProcessMutex held = new InterProcessMutex(clients.get(0), "/kept");
        held.acquire();
        List<String> ephemerals = new ArrayList<>();
        for (CuratorFramework client : clients) {
            ephemerals.add(client.create().creatingParentsIfNeeded().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/alive/e-"));
        }
        int victim = leader();
        Set<ConnectionState> states = Collections.synchronizedSet(new HashSet<>());
        for (CuratorFramework client : clients) {
            client.getConnectionStateListenable().addListener((c, state) -> states.add(state));
        }
        CuratorFramework there = CuratorFrameworkFactory.builder().connectString("127.0.0.1:" + victim)
            .sessionTimeoutMs(SESSION_TIMEOUT_MS).retryPolicy(new RetryNTimes(1, 1)).build();
        BlockingQueue<ConnectionState> told = new LinkedBlockingQueue<>();
        there.getConnectionStateListenable().addListener((c, state) -> told.add(state));
        there.start();
        check(told.poll(WAIT_S, TimeUnit.SECONDS) == ConnectionState.CONNECTED, "a client of the leader's is connected");
        new ProcessBuilder("kill", "-9", pids.get(victim).toString()).start().waitFor();
        check(told.poll(WAIT_S, TimeUnit.SECONDS) == ConnectionState.SUSPENDED, "and is told when the leader dies");
        for (CuratorFramework client : clients) {
            client.setData().forPath("/tx", bytes("after"));
        }
        check(!states.contains(ConnectionState.LOST), "no session is lost with the leader");
        Set<String> alive = new HashSet<>(synced(1).getChildren().forPath("/alive"));
        check(ephemerals.stream().allMatch(path -> alive.contains(path.substring("/alive/".length()))), "all ephemerals are there");
        check(held.isOwnedByCurrentThread() && !new InterProcessMutex(clients.get(1), "/kept").acquire(200, TimeUnit.MILLISECONDS),
            "the lock is still held");
        held.release();
        check(new InterProcessMutex(clients.get(1), "/kept").acquire(WAIT_S, TimeUnit.SECONDS), "and goes to the next one when released");
        eventually(() -> leader() != 0, "another member leads");
    }

    /** Returns the client port of the member that leads, 0 while none does. */
    private int leader() throws Exception {
        for (int port : pids.keySet()) {
            try (Socket socket = new Socket("127.0.0.1", port); InputStream in = socket.getInputStream()) {
                socket.getOutputStream().write(bytes("srvr"));
                if (new String(in.readAllBytes(), StandardCharsets.UTF_8).contains("Mode: leader")) {
                    return port;
                }
            } catch (java.io.IOException e) {
                continue;
            }
        }
        return 0;
    }

    /** One event that is waited for. */
    private static final class CountDown {
        private final java.util.concurrent.CountDownLatch latch = new java.util.concurrent.CountDownLatch(1);

        void done() {
            latch.countDown();
        }

        void await(String fact) throws InterruptedException {
            check(latch.await(WAIT_S, TimeUnit.SECONDS), fact);
        }
    }
}
