// What the page knows, and where it comes from: the REST interface and the live gateway.
// Classic scripts on purpose: a build that turns modules into CommonJS leaves these as they are.

window.severData = (() => {
  'use strict';
  const MOST_AGENTS = 2_000;
  const MOST_KILLS = 20;

  const shared = {
    key: '',
    socket: null,
    agents: new Map(),
    kills: new Map(),
    /** Kill id → enforcement point and boot → its chip. */
    chips: new Map(),
    agentId: null,
    killId: null,
    /** Root id → does the operator want its tree open? */
    open: new Map(),
    cutShort: false,
  };

  /** Set once by the page: what to do when something changed, or when the connection did. */
  const events = {
    changed() {},
    live() {},
    lost() {},
    stale(_error) {},
    refused(_why) {},
  };

  class Refusal extends Error {
    constructor(problem) {
      super(problem.detail ?? 'The control plane refused.');
      this.code = problem.code ?? `http_${problem.status}`;
      this.status = problem.status ?? 0;
    }
  }

  async function call(path, { method = 'GET', body, headers = {} } = {}) {
    const response = await fetch(path, {
      method,
      headers: {
        authorization: `Bearer ${shared.key}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      cache: 'no-store',
      credentials: 'omit',
    });
    const json = await response.json().catch(() => ({ status: response.status }));
    if (response.ok) return json;
    const refusal = new Refusal(json);
    if (response.status === 401) events.refused(`The key is not accepted: ${refusal.message}`);
    throw refusal;
  }

  async function pages(path, most) {
    const items = [];
    let cursor = null;
    do {
      const query = new URLSearchParams({ limit: '500', ...(cursor ? { cursor } : {}) });
      const page = await call(`${path}?${query}`);
      items.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor && items.length < most);
    return { items, more: cursor !== null };
  }

  function connect() {
    const socket = io({
      transports: ['websocket'],
      auth: { token: shared.key },
      reconnectionDelay: 300,
      reconnectionDelayMax: 3_000,
    });
    shared.socket = socket;
    socket.on('connect', () => {
      events.live();
      // Subscribed already: nothing that happens after this read is missed.
      reload();
    });
    socket.on('disconnect', (reason) => {
      if (reason === 'io client disconnect') return;
      events.lost();
      // A deploy ends connections this way, and so does a key's end: the next handshake tells which.
      if (reason === 'io server disconnect') socket.connect();
    });
    socket.on('connect_error', (error) => {
      if (error.data?.code) events.refused(`The key is not accepted: ${error.data.detail}`);
      else events.lost();
    });
    socket.on('agent', (agent) => keep(shared.agents, agent, performance.now()));
    socket.on('kill', (kill) => {
      const known = shared.kills.get(kill.id);
      keep(shared.kills, kill, performance.now());
      // States are derived by the server: a new kill, a grown cascade or an undoing makes the list stale.
      if (!known || turnOf(known) !== turnOf(kill)) reload();
    });
    socket.on('receipt', (receipt) => setChip(receipt.kill_id, receipt, performance.now()));
  }

  function turnOf({ action, cascade, lifted, reinstated }) {
    return [action, cascade.state, Boolean(lifted), Boolean(reinstated)].join(' ');
  }

  function forget() {
    shared.socket?.disconnect();
    Object.assign(shared, { key: '', socket: null, agentId: null, killId: null });
    for (const map of [shared.agents, shared.kills, shared.chips, shared.open, heard]) map.clear();
  }

  /** Id → when it was heard. What came live after a read began is newer than what that read brings. */
  const heard = new Map();

  function keep(map, item, since) {
    if ((heard.get(item.id) ?? 0) > since) return;
    heard.set(item.id, since);
    map.set(item.id, item);
    events.changed();
  }

  function setChip(
    killId,
    { enforcement_point: point, boot_id: boot, status, latency_ms: ms },
    since,
  ) {
    const chips = shared.chips.get(killId) ?? new Map();
    shared.chips.set(killId, chips);
    const key = `${point.id} ${boot}`;
    if ((chips.get(key)?.since ?? 0) > since) return;
    chips.set(key, { name: point.name, status, ms, since });
    events.changed();
  }

  let reading = false;
  let readAgain = false;

  /** Reads everything; one at a time. Asked for meanwhile, it runs once more. */
  function reload() {
    if (reading) {
      readAgain = true;
      return;
    }
    reading = true;
    const { key } = shared;
    let pause = 300;
    readAll(key)
      .catch((error) => {
        if (shared.key !== key) return;
        events.stale(error);
        readAgain = true;
        pause = 3_000;
      })
      .finally(() => {
        reading = false;
        if (!readAgain) return;
        readAgain = false;
        setTimeout(() => shared.key && reload(), pause);
      });
  }

  async function readAll(key) {
    const began = performance.now();
    const [agents, kills] = await Promise.all([
      pages('/v1/agents', MOST_AGENTS),
      call(`/v1/kills?limit=${MOST_KILLS}`),
    ]);
    // The operator left, or came back under another key, perhaps of another tenant.
    if (shared.key !== key) return;
    shared.cutShort = agents.more;
    for (const agent of agents.items) keep(shared.agents, agent, began);
    for (const kill of kills.items) keep(shared.kills, kill, began);
    if (shared.killId) await readKill(shared.killId);
    if (shared.socket?.connected) events.live();
    events.changed();
  }

  /** The agent and all below it, as they are now. */
  async function readTree(agentId) {
    const { key } = shared;
    const began = performance.now();
    const tree = await pages(`/v1/agents/${encodeURIComponent(agentId)}/tree`, 20_000);
    if (shared.key === key) for (const agent of tree.items) keep(shared.agents, agent, began);
    return tree;
  }

  async function readKill(killId) {
    const { key } = shared;
    const began = performance.now();
    const path = `/v1/kills/${encodeURIComponent(killId)}`;
    const [kill, receipts] = await Promise.all([call(path), pages(`${path}/receipts`, 5_000)]);
    if (shared.key !== key) return;
    keep(shared.kills, kill, began);
    for (const receipt of receipts.items) setChip(kill.id, receipt, began);
  }

  /** Puts the answer to a kill in its place. */
  function keepKill(kill) {
    keep(shared.kills, kill, performance.now());
  }

  return {
    MOST_KILLS,
    shared,
    events,
    Refusal,
    call,
    pages,
    connect,
    forget,
    reload,
    readTree,
    readKill,
    keepKill,
  };
})();
