// A program on node-zookeeper-client over an ensemble: data, sequences, ephemerals, watches, transactions, ACLs, and
// the leader killed under its session.
//
// Reads ENSEMBLE_HOSTS and ENSEMBLE_PIDS (port=pid,...). Prints a line per fact; ends with 1 at the first that does
// not hold.
'use strict';

const net = require('net');
const zookeeper = require('node-zookeeper-client');

const PATIENCE_MS = 20000;
const OPTIONS = { sessionTimeout: 10000, spinDelay: 100, retries: 100 };
const { CreateMode, Event, Exception, ACL, Permission, Id, State } = zookeeper;
const hosts = process.env.ENSEMBLE_HOSTS;

function check(holds, fact) {
    console.log(holds ? `  ok: ${fact}` : `  FAILED: ${fact}`);
    if (!holds) {
        process.exit(1);
    }
}

/** Calls a method of a client that takes a callback; resolves to what it answers, or to the error with its name. */
function ask(client, method, ...words) {
    return new Promise((resolve) => {
        client[method](...words, (error, ...answers) => resolve(error ? { error: error.getName ? error.getName() : String(error) } : { answers }));
    });
}

async function must(client, method, ...words) {
    const { error, answers } = await ask(client, method, ...words);
    if (error) {
        check(false, `${method} ${words[0]}: ${error}`);
    }
    return answers;
}

/** Reads until it is there: a client may be connected to a member that lags, and this one has no sync. */
async function seen(client, method, path) {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(5)) {
        const answer = await ask(client, method, path);
        if (answer.error !== 'NO_NODE') {
            return answer;
        }
    }
    return check(false, `${path} comes to be seen`);
}

function connect(to = hosts) {
    const client = zookeeper.createClient(to, OPTIONS);
    return new Promise((resolve) => {
        client.once('connected', () => resolve(client));
        client.connect();
    });
}

/** Returns a watcher, and what it is told first. */
function watcher() {
    let told;
    const event = new Promise((resolve) => { told = resolve; });
    return [told, event];
}

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function data(one, other) {
    check((await must(one, 'create', '/node', Buffer.from('one')))[0] === '/node', 'create answers with the path');
    check((await ask(one, 'create', '/node')).error === 'NODE_EXISTS', 'a second create is refused');
    const [value, stat] = (await seen(other, 'getData', '/node')).answers;
    check(value.toString() === 'one' && stat.version === 0, 'another client reads it');
    check((await must(one, 'setData', '/node', Buffer.from('two'), 0))[0].version === 1, 'setData answers with the new version');
    check((await ask(one, 'setData', '/node', Buffer.from('x'), 0)).error === 'BAD_VERSION', 'an old version is refused');
    const [first] = await must(one, 'create', '/node/s-', CreateMode.PERSISTENT_SEQUENTIAL);
    const [second] = await must(one, 'create', '/node/s-', CreateMode.PERSISTENT_SEQUENTIAL);
    check(first < second, 'sequential names rise');
    check((await ask(one, 'create', '/absent/x')).error === 'NO_NODE', 'a parent has to be there');
    check((await ask(one, 'remove', '/node')).error === 'NOT_EMPTY', 'a node with children stays');
    await must(one, 'remove', first);
    check((await must(one, 'getChildren', '/node'))[0].length === 1, 'children are listed');
    await must(one, 'mkdirp', '/node/deep/er');
    const [subtree] = await must(one, 'listSubTreeBFS', '/node/deep');
    check(subtree.includes('/node/deep/er'), 'a subtree is made and listed');
    await must(one, 'removeRecursive', '/node/deep');
    check((await must(one, 'exists', '/node/deep/er'))[0] === null, 'and removed');
    const big = Buffer.alloc(1000 * 1000, 7);
    await must(one, 'create', '/node/big', big);
    check((await seen(other, 'getData', '/node/big')).answers[0].equals(big), 'a megabyte comes back whole');
}

async function watches(one, other) {
    const [onCreate, created] = watcher();
    check((await must(one, 'exists', '/node/w', onCreate))[0] === null, 'it is not there yet');
    await must(other, 'create', '/node/w', Buffer.from('a'));
    check((await created).getType() === Event.NODE_CREATED, 'its creation is told');
    const [onChange, changed] = watcher();
    await must(one, 'getData', '/node/w', onChange);
    await must(other, 'setData', '/node/w', Buffer.from('b'));
    check((await changed).getType() === Event.NODE_DATA_CHANGED, 'its change is told');
    const [onChild, listed] = watcher();
    await must(one, 'getChildren', '/node/w', onChild);
    await must(other, 'create', '/node/w/x');
    check((await listed).getType() === Event.NODE_CHILDREN_CHANGED, 'its child is told');
    const [onRemove, removed] = watcher();
    await must(one, 'exists', '/node/w/x', onRemove);
    await must(other, 'remove', '/node/w/x');
    check((await removed).getType() === Event.NODE_DELETED, 'its end is told');
}

async function transactions(one) {
    const results = await must(one.transaction().check('/node', 1).create('/node/t', Buffer.from('t'))
        .setData('/node/t', Buffer.from('u'), 0).remove('/node/t', 1), 'commit');
    check(results[0].length === 4 && results[0][2].stat.version === 1, 'a transaction answers for each operation');
    const failed = await ask(one.transaction().create('/node/u').check('/node', 9), 'commit');
    check(failed.error === 'BAD_VERSION' && (await must(one, 'exists', '/node/u'))[0] === null, 'one that cannot be done leaves nothing');
}

async function identities(one) {
    const owner = await connect();
    owner.addAuthInfo('digest', Buffer.from('user:secret'));
    await must(owner, 'create', '/node/mine', Buffer.from('secret'), [new ACL(Permission.ALL, new Id('auth', ''))]);
    check((await seen(one, 'getData', '/node/mine')).error === 'NO_AUTH', 'who has no identity may not read');
    check((await must(owner, 'getData', '/node/mine'))[0].toString() === 'secret', 'its owner may');
    const [acls] = await must(owner, 'getACL', '/node/mine');
    check(acls.length === 1 && acls[0].id.scheme === 'digest', 'the ACL is told');
    await must(owner, 'setACL', '/node/mine', ACL.OPEN_ACL_UNSAFE);
    const open = await connect();
    check((await must(open, 'setACL', '/node/mine', ACL.READ_ACL_UNSAFE))[0].aversion === 2, 'and changed');
    open.close();
    owner.close();
}

/** Returns the answer to a four-letter word, empty when there is none. */
function word(text, host) {
    const [address, port] = host.split(':');
    return new Promise((resolve) => {
        let answer = '';
        const socket = net.connect(Number(port), address, () => socket.write(text));
        socket.on('data', (part) => { answer += part; });
        socket.on('close', () => resolve(answer));
        socket.on('error', () => resolve(''));
    });
}

async function leader() {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(50)) {
        for (const host of hosts.split(',')) {
            if ((await word('srvr', host)).includes('Mode: leader')) {
                return host;
            }
        }
    }
    return check(false, 'somebody leads');
}

async function survives(one) {
    const first = await leader();
    const bound = await connect(first);
    const disconnected = new Promise((resolve) => { bound.once('disconnected', resolve); });
    const session = one.getSessionId().toString('hex');
    const [path] = await must(one, 'create', '/node/e-', CreateMode.EPHEMERAL_SEQUENTIAL);
    const [onChange, changed] = watcher();
    await must(one, 'getData', '/node', onChange);
    const pids = Object.fromEntries(process.env.ENSEMBLE_PIDS.split(',').map((member) => member.split('=')));
    process.kill(Number(pids[first.split(':')[1]]), 'SIGKILL');
    await disconnected;
    check(true, 'a client of the leader is told when it dies');
    bound.close();
    let done = {};
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(20)) {
        done = one.getState() === State.SYNC_CONNECTED ? await ask(one, 'setData', '/node', Buffer.from('after')) : { error: 'not connected' };
        if (!done.error) {
            break;
        }
    }
    check(!done.error && one.getSessionId().toString('hex') === session, 'the session goes on');
    check((await must(one, 'exists', path))[0] !== null, 'its ephemeral is there');
    check((await changed).getType() === Event.NODE_DATA_CHANGED, 'its watch is there');
    check(await leader() !== first, 'another member leads');
}

async function main() {
    setTimeout(() => check(false, 'all is done in time'), 4 * PATIENCE_MS).unref();
    const [one, other] = [await connect(), await connect()];
    await data(one, other);
    await watches(one, other);
    await transactions(one);
    await identities(one);
    await must(other, 'create', '/node/gone', CreateMode.EPHEMERAL);
    const [onGone, gone] = watcher();
    await seen(one, 'getData', '/node/gone');
    await must(one, 'exists', '/node/gone', onGone);
    other.close();
    check((await gone).getType() === Event.NODE_DELETED, 'an ephemeral goes with its session');
    await survives(one);
    process.exit(0);
}

main().catch((error) => check(false, String(error.stack || error)));
