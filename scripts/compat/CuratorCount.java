// Counts up under Curator's InterProcessMutex, reading and writing apart on purpose:
//
//     java CuratorCount HOSTS NAME ROUNDS
//
// Ends with 2 when it meets another holder. Part of scripts/compat/recipes.

import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;

public class CuratorCount {
    public static void main(String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], 10_000, 10_000, new RetryForever(100));
        client.start();
        InterProcessMutex mutex = new InterProcessMutex(client, "/lock-test/lock");
        for (int round = 0; round < Integer.parseInt(args[2]); round++) {
            if (!mutex.acquire(60, TimeUnit.SECONDS)) {
                System.exit(1);
            }
            try {
                client.create().withMode(CreateMode.EPHEMERAL).forPath("/lock-test/holder", args[1].getBytes());
            } catch (KeeperException.NodeExistsException met) {
                System.exit(2);
            }
            Thread.sleep(2);
            int count = Integer.parseInt(new String(client.getData().forPath("/lock-test/counter")));
            client.setData().forPath("/lock-test/counter", String.valueOf(count + 1).getBytes());
            client.delete().forPath("/lock-test/holder");
            mutex.release();
        }
        client.close();
    }
}
