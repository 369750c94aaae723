'use strict';
/* global io */

// Every text that comes from outside enters the page as textContent, never as markup.

const KEY_SLOT = 'sever.console.key';
const MOST_AGENTS = 2_000;
const MOST_KILLS = 20;
const ALIVE = new Set(['active', 'suspended']);
const WARNINGS = {
  no_enforcement_points:
    'No enforcement point is enrolled: spawns and mints are refused, and nothing else.',
};

const at = (id) => document.getElementById(id);
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

class Refusal extends Error {
  constructor(problem) {
    super(problem.detail ?? 'The control plane refused.');
    this.code = problem.code ?? 'unexpected';
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
  if (response.status === 401) leave(`The key is not accepted: ${refusal.message}`);
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

// ---- the door

function storage(action) {
  try {
    return action(window.sessionStorage);
  } catch {
    return null; // A browser may forbid it; the key then lives as long as the page.
  }
}

async function enter(key) {
  shared.key = key.trim();
  at('gate-error').textContent = '';
  try {
    if (!/^[\x21-\x7e]+$/.test(shared.key)) throw new Error('This is not a key.');
    await call('/v1/kills?limit=1');
  } catch (error) {
    leave(error instanceof TypeError ? 'The control plane does not answer.' : error.message);
    return;
  }
  storage((store) => store.setItem(KEY_SLOT, shared.key));
  at('key').value = '';
  at('gate').hidden = true;
  at('board').hidden = false;
  at('forget').hidden = false;
  connect();
}

function leave(why) {
  storage((store) => store.removeItem(KEY_SLOT));
  shared.socket?.disconnect();
  Object.assign(shared, { key: '', socket: null, agentId: null, killId: null });
  for (const map of [shared.agents, shared.kills, shared.chips, shared.open]) map.clear();
  if (at('confirm').open) at('confirm').close();
  at('board').hidden = true;
  at('forget').hidden = true;
  at('banner').hidden = true;
  at('gate').hidden = false;
  at('gate-error').textContent = why;
  setLink('off', 'not connected');
  at('key').focus();
}

// ---- live

function connect() {
  const socket = io({
    transports: ['websocket'],
    auth: { token: shared.key },
    reconnectionDelay: 300,
    reconnectionDelayMax: 3_000,
  });
  shared.socket = socket;
  socket.on('connect', () => {
    setLink('on', 'live');
    at('banner').hidden = true;
    // Subscribed already: what is read now is never older than the events that follow.
    reload();
  });
  socket.on('disconnect', (reason) => {
    if (reason === 'io client disconnect') return;
    lost();
    if (reason === 'io server disconnect') socket.connect();
  });
  socket.on('connect_error', (error) => {
    if (error.data?.code) leave(`The key is not accepted: ${error.data.detail}`);
    else lost();
  });
  socket.on('agent', (agent) => {
    shared.agents.set(agent.id, agent);
    repaint();
  });
  socket.on('kill', (kill) => {
    const known = shared.kills.get(kill.id);
    shared.kills.set(kill.id, kill);
    // States are derived by the server: a new kill, or a grown cascade, makes the list stale.
    if (!known || known.cascade.state !== kill.cascade.state) reload();
    repaint();
  });
  socket.on('receipt', (receipt) => {
    setChip(receipt.kill_id, { ...receipt, live: performance.now() });
    repaint();
  });
}

function lost() {
  setLink('lost', 'reconnecting');
  at('banner').textContent =
    'Connection lost. What you see may be out of date; reconnecting. A kill still works if the control plane answers.';
  at('banner').hidden = false;
}

function setLink(state, text) {
  at('link').dataset.state = state;
  at('link').textContent = text;
}

let reloading = null;
let reloadAgain = false;

/** One at a time; asked for again meanwhile, it runs once more. */
function reload() {
  if (reloading) {
    reloadAgain = true;
    return;
  }
  reloading = readAll()
    .catch((error) => {
      if (!shared.key) return;
      at('banner').textContent =
        `Could not read the present state (${error.message}); trying again.`;
      at('banner').hidden = false;
      setTimeout(() => shared.key && reload(), 3_000);
    })
    .finally(() => {
      reloading = null;
      if (reloadAgain) {
        reloadAgain = false;
        setTimeout(() => shared.key && reload(), 300);
      }
    });
}

async function readAll() {
  const [agents, kills] = await Promise.all([
    pages('/v1/agents', MOST_AGENTS),
    call(`/v1/kills?limit=${MOST_KILLS}`),
  ]);
  if (!shared.key) return;
  shared.cutShort = agents.more;
  // An agent spawned while the list was read arrived live: it stays.
  for (const agent of agents.items) shared.agents.set(agent.id, agent);
  for (const kill of kills.items) shared.kills.set(kill.id, kill);
  if (shared.socket?.connected) at('banner').hidden = true;
  if (shared.killId) await readKill(shared.killId);
  repaint();
}

async function readTree(agentId) {
  const tree = await pages(`/v1/agents/${encodeURIComponent(agentId)}/tree`, 20_000);
  for (const agent of tree.items) shared.agents.set(agent.id, agent);
  repaint();
  return tree;
}

async function readKill(killId) {
  const began = performance.now();
  const path = `/v1/kills/${encodeURIComponent(killId)}`;
  const [kill, receipts] = await Promise.all([call(path), pages(`${path}/receipts`, 5_000)]);
  shared.kills.set(kill.id, kill);
  for (const receipt of receipts.items) setChip(kill.id, { ...receipt, live: began });
  repaint();
}

/** What arrived live after a read began is newer than what the read brought. */
function setChip(
  killId,
  { enforcement_point: point, boot_id: boot, status, latency_ms: ms, live },
) {
  const chips = shared.chips.get(killId) ?? new Map();
  shared.chips.set(killId, chips);
  const key = `${point.id} ${boot}`;
  if ((chips.get(key)?.live ?? 0) > live) return;
  chips.set(key, { name: point.name, status, ms, live });
}

// ---- painting

let painting = false;

function repaint() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    paintForest();
    paintAgent();
    paintKill();
    paintRecent();
  });
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Marks that hide or turn text are shown instead of obeyed. */
function shown(text) {
  return String(text).replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0).toString(16)}}`,
  );
}

const timeOf = (text) => `${new Date(text).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
const plural = (count, word) => `${count} ${word}${count === 1 ? '' : 's'}`;

/** Elements are kept by key and moved only when their place changed, so that focus survives a repaint. */
function arrange(parent, elements) {
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) {
      parent.insertBefore(element, parent.children[index] ?? null);
    }
  });
  while (parent.children.length > elements.length) parent.lastElementChild.remove();
}

const rows = new Map();
const groups = new Map();

function rowOf(agent) {
  let row = rows.get(agent.id);
  if (!row) {
    const item = make('li');
    const button = make('button', 'agent');
    const name = make('span', 'name');
    const state = make('span', 'state');
    button.type = 'button';
    button.append(name, state);
    button.addEventListener('click', () => choose(agent.id));
    const below = make('ul');
    item.append(button, below);
    row = { item, button, name, state, below };
    rows.set(agent.id, row);
  }
  row.name.textContent = shown(agent.name);
  row.name.title = shown(agent.name);
  row.state.textContent = agent.state;
  row.button.dataset.state = agent.state;
  row.button.setAttribute('aria-pressed', String(agent.id === shared.agentId));
  return row;
}

function groupOf(rootId) {
  let group = groups.get(rootId);
  if (!group) {
    const section = make('section', 'tree');
    const title = make('h3');
    const button = make('button');
    const label = make('span', 'hostile');
    const count = make('span', 'count');
    button.type = 'button';
    button.append(label, count);
    title.append(button);
    const list = make('ul');
    section.append(title, list);
    group = { section, button, label, count, list };
    button.addEventListener('click', () => {
      const open = group.list.hidden;
      shared.open.set(rootId, open);
      if (open && shared.cutShort) readTree(rootId).catch(() => undefined);
      repaint();
    });
    groups.set(rootId, group);
  }
  return group;
}

function paintForest() {
  const agents = [...shared.agents.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const wanted = matching(agents, at('filter').value.trim().toLowerCase());
  const below = new Map();
  const roots = new Map();
  for (const agent of agents) {
    if (!roots.has(agent.root_id)) roots.set(agent.root_id, []);
    roots.get(agent.root_id).push(agent);
    const parent = shared.agents.has(agent.parent_id) ? agent.parent_id : `root ${agent.root_id}`;
    if (!below.has(parent)) below.set(parent, []);
    const row = rowOf(agent);
    row.item.hidden = wanted !== null && !wanted.has(agent.id);
    below.get(parent).push(row.item);
  }
  for (const agent of agents) arrange(rows.get(agent.id).below, below.get(agent.id) ?? []);
  const living = (rootId) => roots.get(rootId).filter((agent) => ALIVE.has(agent.state)).length;
  const order = [...roots.keys()].sort(
    (a, b) => Number(living(b) > 0) - Number(living(a) > 0) || (a < b ? 1 : -1),
  );
  arrange(
    at('forest'),
    order.map((rootId) => {
      const members = roots.get(rootId);
      const group = groupOf(rootId);
      const alive = living(rootId);
      group.label.textContent = `For ${shown(members[0].initiator.subject)}`;
      group.count.textContent = `${alive} of ${members.length} alive`;
      const open = wanted !== null || (shared.open.get(rootId) ?? true);
      group.button.setAttribute('aria-expanded', String(open));
      group.list.hidden = !open;
      group.section.hidden = wanted !== null && !members.some(({ id }) => wanted.has(id));
      arrange(group.list, below.get(`root ${rootId}`) ?? []);
      return group.section;
    }),
  );
  const alive = agents.filter((agent) => ALIVE.has(agent.state)).length;
  at('agents-count').textContent = agents.length === 0 ? '' : `${alive} of ${agents.length} alive`;
  const note =
    agents.length === 0
      ? 'No agents. They appear here as soon as one is spawned.'
      : wanted?.size === 0
        ? 'No agent matches.'
        : shared.cutShort
          ? `The first ${MOST_AGENTS} are shown; close and open a tree to load all of it.`
          : '';
  at('agents-note').textContent = note;
  at('agents-note').hidden = note === '';
}

/** Ids of the agents that match and of all above them; null without a filter. */
function matching(agents, text) {
  if (text === '') return null;
  const ids = new Set();
  for (const agent of agents) {
    const pairs = [...Object.entries(agent.labels), ...Object.entries(agent.refs)];
    const words = [agent.name, agent.id, agent.state, agent.initiator.subject];
    if (![...words, ...pairs.map((pair) => pair.join(':'))].join('\n').toLowerCase().includes(text))
      continue;
    for (let up = agent; up && !ids.has(up.id); up = shared.agents.get(up.parent_id))
      ids.add(up.id);
  }
  return ids;
}

function facts(list, pairs) {
  list.replaceChildren(
    ...pairs.flatMap(([term, value, className]) => {
      const definition = make('dd', className);
      definition.append(value instanceof Node ? value : shown(value));
      return [make('dt', '', term), definition];
    }),
  );
}

/** A list is painted anew only when its content changed: a selection or a focus in it stays. */
const painted = new Map();
function changed(slot, content) {
  const text = JSON.stringify(content);
  if (painted.get(slot) === text) return false;
  painted.set(slot, text);
  return true;
}

function paintAgent() {
  const agent = shared.agents.get(shared.agentId);
  at('agent-body').hidden = !agent;
  at('agent-hint').hidden = Boolean(agent);
  if (!changed('agent', agent ?? null)) return;
  at('agent-name').textContent = agent ? shown(agent.name) : 'No agent chosen';
  if (!agent) return;
  const joined = (pairs) =>
    Object.entries(pairs)
      .map((pair) => pair.join(':'))
      .join(', ') || 'none';
  facts(at('agent-facts'), [
    ['State', agent.state],
    ...(agent.because ? [['Because of', killLink(agent.because.kill_id)]] : []),
    ['Id', agent.id, 'mono'],
    ['For', agent.initiator.subject],
    ['Depth', agent.parent_id === null ? '0 (root)' : String(agent.depth)],
    ['Scopes', agent.scopes.join(', ') || 'none', 'mono'],
    ['Labels', joined(agent.labels)],
    ['Refs', joined(agent.refs)],
    ['Spawned', timeOf(agent.created_at)],
    ['Ends', timeOf(agent.expires_at)],
  ]);
}

function killLink(killId) {
  const link = make('button', 'inline', shown(killId));
  link.type = 'button';
  link.addEventListener('click', () => chooseKill(killId));
  return link;
}

function chipsOf(kill) {
  const chips = [...(shared.chips.get(kill.id)?.values() ?? [])];
  if (chips.length > 0) return chips.sort((a, b) => (a.name < b.name ? -1 : 1));
  return ['pending', 'nack', 'unknown'].flatMap((status) =>
    kill.containment[status].map(({ name }) => ({ name, status, ms: null })),
  );
}

function paintKill() {
  const kill = shared.kills.get(shared.killId);
  at('kill-card').hidden = !kill;
  if (!kill) return;
  const chips = chipsOf(kill).map(({ name, status, ms }) => ({ name, status, ms }));
  if (!changed('kill', [kill, chips])) return;
  const { containment, cascade } = kill;
  const stuck = containment.nack.length + containment.unknown.length > 0;
  at('kill-state').textContent = stuck ? `${kill.state}, stuck` : kill.state;
  at('kill-state').dataset.state = stuck ? 'stuck' : kill.state;
  if (at('kill-summary').textContent !== shown(kill.summary)) {
    at('kill-summary').textContent = shown(kill.summary);
  }
  paintChips(chips);
  const notes = [
    ...kill.warnings.map((warning) => WARNINGS[warning] ?? warning),
    ...containment.nack.map(({ name, error }) => `${name} could not apply it: ${error}`),
    ...containment.unknown.map(({ name }) => `${name} is silent and may still admit calls.`),
    ...containment.not_covered.map(({ what, detail }) => `Not covered: ${what}: ${detail}`),
    ...(kill.not_found ?? []).map((subject) => `Not found: ${subject.kind} ${subject.id}`),
  ];
  at('kill-notes').replaceChildren(...notes.map((note) => make('li', 'hostile', shown(note))));
  facts(at('kill-facts'), [
    ['Subject', kill.subjects.map(({ kind, id }) => `${kind} ${id}`).join(', '), 'mono'],
    ['Reason', kill.reason + (kill.ticket ? ` (${kill.ticket})` : '')],
    ['By', `${kill.created_by.name} at ${timeOf(kill.created_at)}`],
    [
      'Cascade',
      cascade.agents === null
        ? cascade.state
        : `${plural(cascade.agents, 'agent')}, ${plural(cascade.credentials ?? 0, 'credential')} (${cascade.state})`,
    ],
    ...(containment.enforced_by && kill.state !== 'contained'
      ? [['Dark by', timeOf(containment.enforced_by)]]
      : []),
    ['Id', kill.id, 'mono'],
  ]);
}

/** Chips keep their element while their status changes, so that turning green is seen as turning. */
function paintChips(chips) {
  const list = at('chips');
  while (list.children.length < chips.length) list.append(make('li', 'chip'));
  while (list.children.length > chips.length) list.lastElementChild.remove();
  chips.forEach(({ name, status, ms }, index) => {
    const took = ms === null ? '' : ` in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
    list.children[index].dataset.state = status;
    list.children[index].textContent = `${shown(name)}: ${status}${took}`;
  });
}

const recentRows = new Map();

function paintRecent() {
  const kills = [...shared.kills.values()]
    .sort((a, b) => (a.id < b.id ? 1 : -1))
    .slice(0, MOST_KILLS);
  at('no-kills').hidden = kills.length > 0;
  arrange(
    at('recent'),
    kills.map((kill) => {
      let row = recentRows.get(kill.id);
      if (!row) {
        const item = make('li');
        const button = make('button');
        const what = make('span', 'what');
        const when = make('span', 'when');
        button.type = 'button';
        button.append(what, when);
        button.addEventListener('click', () => chooseKill(kill.id));
        item.append(button);
        row = { item, button, what, when };
        recentRows.set(kill.id, row);
      }
      const name =
        shared.agents.get(kill.subject.id)?.name ?? `${kill.subject.kind} ${kill.subject.id}`;
      row.what.textContent = `${shown(name)}: ${kill.state}`;
      row.button.title = shown(kill.summary);
      row.button.dataset.state = kill.state;
      row.button.setAttribute('aria-pressed', String(kill.id === shared.killId));
      row.when.textContent = timeOf(kill.created_at).slice(11, 19);
      return row.item;
    }),
  );
}

// ---- choosing and killing

function choose(agentId) {
  shared.agentId = agentId;
  repaint();
}

function chooseKill(killId) {
  shared.killId = killId;
  readKill(killId).catch((error) => showBanner(error));
  repaint();
}

function showBanner(error) {
  if (!shared.key) return;
  at('banner').textContent = error.message;
  at('banner').hidden = false;
}

let order = null;

function ask() {
  const agent = shared.agents.get(shared.agentId);
  if (!agent) return;
  order = { agentId: agent.id, body: '', key: '' };
  at('confirm-title').textContent = `Kill ${shown(agent.name)}?`;
  at('confirm-text').textContent = 'Counting what it spawned…';
  at('confirm-error').textContent = '';
  at('confirm-kill').disabled = false;
  at('confirm').showModal();
  at('reason').focus();
  const asked = order;
  readTree(agent.id).then(
    ({ items, more }) => {
      if (order !== asked) return;
      const below = items.filter(({ id }) => id !== agent.id);
      const alive = below.filter(({ state }) => ALIVE.has(state)).length;
      const count = `${more ? 'more than ' : ''}${plural(below.length, 'descendant')}`;
      at('confirm-text').textContent =
        below.length === 0
          ? 'It has no descendants. This is final: neither it nor a credential of it ever works again.'
          : `It and its ${count} (${alive} alive) are cut for good, with every credential of theirs.`;
    },
    () => {
      if (order !== asked) return;
      at('confirm-text').textContent =
        'Its descendants could not be counted. It and all of them are cut for good.';
    },
  );
}

function newKey() {
  // randomUUID exists only on https and localhost.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

async function kill() {
  const reason = at('reason').value.trim();
  const ticket = at('ticket').value.trim();
  if (reason === '') {
    at('confirm-error').textContent = 'Say why; the reason is kept in the record.';
    return;
  }
  const body = { reason, ...(ticket ? { ticket } : {}) };
  // The same order sent again is the same kill: only other words make a new one.
  if (order.body !== JSON.stringify(body)) {
    order.body = JSON.stringify(body);
    order.key = newKey();
  }
  at('confirm-kill').disabled = true;
  at('confirm-error').textContent = '';
  try {
    const done = await call(`/v1/agents/${encodeURIComponent(order.agentId)}/kill?wait=0`, {
      method: 'POST',
      body,
      headers: { 'idempotency-key': order.key },
    });
    shared.kills.set(done.id, done);
    at('confirm').close();
    at('reason').value = '';
    at('ticket').value = '';
    chooseKill(done.id);
    reload();
  } catch (error) {
    at('confirm-error').textContent =
      error instanceof TypeError
        ? 'The connection broke; the kill may have been committed. Press Kill again: the same order is repeated, never a second one.'
        : `${error.code}: ${error.message}`;
  } finally {
    at('confirm-kill').disabled = false;
  }
}

// A missed event must not leave a kill amber on the screen of someone who waits for green.
setInterval(() => {
  const kill = shared.kills.get(shared.killId);
  if (shared.key && kill && kill.state !== 'contained') readKill(kill.id).catch(() => undefined);
}, 3_000);

at('gate-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void enter(at('key').value);
});
at('forget').addEventListener('click', () => leave(''));
at('filter').addEventListener('input', repaint);
at('kill').addEventListener('click', ask);
at('cancel').addEventListener('click', () => at('confirm').close());
at('confirm').addEventListener('close', () => {
  order = null;
});
at('confirm-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void kill();
});
at('forest').addEventListener('keydown', (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...at('forest').querySelectorAll('button')].filter((one) => one.offsetParent);
  buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  event.preventDefault();
});

const remembered = storage((store) => store.getItem(KEY_SLOT));
if (remembered) void enter(remembered);
