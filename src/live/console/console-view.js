// How it looks. Every text that comes from outside enters the page as textContent, never as markup.
window.severView = (() => {
  'use strict';
  const { MOST_KILLS, readTree, shared } = window.severData;

  const ALIVE = new Set(['active', 'suspended']);
  const WARNINGS = {
    no_enforcement_points:
      'No enforcement point is enrolled: spawns and mints are refused, and nothing else.',
    matched_nothing: 'It matched nothing: no living agent is held by it.',
    same_name_under_other_issuers: 'Other identity providers know somebody of that name as well.',
  };

  /** Set once by the page: what a click on an agent or a kill does. */
  const choices = {
    agent(_id) {},
    kill(_id) {},
  };

  const at = (id) => document.getElementById(id);
  const isAlive = (agent) => ALIVE.has(agent.state);

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
      button.addEventListener('click', () => choices.agent(agent.id));
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
      const label = make('span', 'label');
      const count = make('span', 'count');
      button.type = 'button';
      button.append(label, count);
      title.append(button);
      const list = make('ul');
      section.append(title, list);
      group = { section, button, label, count, list, lived: shared.open.get(rootId) };
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
    const living = (rootId) => roots.get(rootId).filter(isAlive).length;
    // What lived at first sight stays open and on top, so that a tree does not jump away when it is killed.
    for (const rootId of roots.keys()) {
      if (!shared.open.has(rootId)) shared.open.set(rootId, living(rootId) > 0);
    }
    const order = [...roots.keys()].sort(
      (a, b) => Number(groupOf(b).lived) - Number(groupOf(a).lived) || (a < b ? 1 : -1),
    );
    arrange(
      at('forest'),
      order.map((rootId) => {
        const members = roots.get(rootId);
        const group = groupOf(rootId);
        const alive = living(rootId);
        group.label.textContent = `For ${shown(members[0].initiator.subject)}`;
        group.label.title = group.label.textContent;
        group.count.textContent = `${alive} of ${members.length} alive`;
        const open = wanted !== null || shared.open.get(rootId);
        group.button.setAttribute('aria-expanded', String(open));
        group.list.hidden = !open;
        group.section.hidden = wanted !== null && !members.some(({ id }) => wanted.has(id));
        arrange(group.list, below.get(`root ${rootId}`) ?? []);
        return group.section;
      }),
    );
    const alive = agents.filter(isAlive).length;
    at('agents-count').textContent =
      agents.length === 0 ? '' : `${alive} of ${agents.length} alive`;
    const note =
      agents.length === 0
        ? 'No agents. They appear here as soon as one is spawned.'
        : wanted?.size === 0
          ? 'No agent matches.'
          : shared.cutShort
            ? `Not all agents are shown; close and open a tree to load all of it.`
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
      if (
        ![...words, ...pairs.map((pair) => pair.join(':'))].join('\n').toLowerCase().includes(text)
      )
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
    const held = agent.because?.action === 'suspend';
    at('agent-suspend').hidden = agent.state !== 'active' || held;
    at('agent-kill').hidden = !isAlive(agent);
    at('agent-lift').hidden = !held;
    at('agent-escalate').hidden = !held;
    at('agent-reinstate').hidden = agent.state !== 'killed' || !agent.because;
    const joined = (pairs) =>
      Object.entries(pairs)
        .map((pair) => pair.join(':'))
        .join(', ') || 'none';
    facts(at('agent-facts'), [
      ['State', agent.state + (agent.because?.level ? ` (${agent.because.level})` : '')],
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
    link.addEventListener('click', () => choices.kill(killId));
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
    const undone = Boolean(kill.lifted || kill.reinstated);
    at('kill-title').textContent = titleOf(kill);
    at('order-lift').hidden = undone || kill.action !== 'suspend';
    at('order-escalate').hidden = undone || kill.action !== 'suspend';
    at('order-reinstate').hidden = undone || kill.action !== 'kill';
    const stuck = containment.nack.length + containment.unknown.length > 0;
    at('kill-state').textContent = undone
      ? standingOf(kill)
      : stuck
        ? `${kill.state}, stuck`
        : kill.state;
    at('kill-state').dataset.state = undone ? 'undone' : stuck ? 'stuck' : kill.state;
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
      ...(kill.nearest?.length ? [`Names that are close: ${kill.nearest.join(', ')}`] : []),
      ...(kill.came_back?.agents
        ? [
            `${plural(kill.came_back.agents, 'root')} of the same service came back for the same human: ${kill.came_back.ids.join(', ')}`,
          ]
        : []),
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
      ...historyOf(kill),
      ...(containment.enforced_by && kill.state !== 'contained'
        ? [['Dark by', timeOf(containment.enforced_by)]]
        : []),
      ['Id', kill.id, 'mono'],
    ]);
  }

  /** One word or two for what the order is by now. */
  function standingOf(kill) {
    if (kill.lifted) return 'lifted';
    if (kill.reinstated) return 'reinstated';
    return kill.action === 'suspend' ? 'suspended' : 'killed';
  }

  function titleOf(kill) {
    if (kill.action === 'suspend') return kill.lifted ? 'Suspension, lifted' : 'Suspension';
    return kill.escalated ? 'Kill (was a suspension)' : 'Kill';
  }

  function historyOf(kill) {
    const undone = ({ by, at: when, reason }) => `by ${by.name} at ${timeOf(when)}: ${reason}`;
    return [
      ...(kill.action === 'suspend' ? [['Level', kill.level ?? 'deny_all']] : []),
      ...(kill.expires_at && !kill.lifted ? [['Lifts itself', timeOf(kill.expires_at)]] : []),
      ...(kill.hold_until ? [['Holds roots', `until ${timeOf(kill.hold_until)}`]] : []),
      ...(kill.escalated ? [['Escalated', undone(kill.escalated)]] : []),
      ...(kill.lifted ? [['Lifted', undone(kill.lifted)]] : []),
      ...(kill.reinstated ? [['Reinstated', undone(kill.reinstated)]] : []),
      ...(kill.refused_since ? [['Refused since', plural(kill.refused_since, 'request')]] : []),
    ];
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
          button.addEventListener('click', () => choices.kill(kill.id));
          item.append(button);
          row = { item, button, what, when };
          recentRows.set(kill.id, row);
        }
        const name =
          shared.agents.get(kill.subject.id)?.name ?? `${kill.subject.kind} ${kill.subject.id}`;
        const undone = kill.lifted || kill.reinstated;
        row.what.textContent = `${shown(name)}: ${standingOf(kill)}${undone ? '' : `, ${kill.state}`}`;
        row.button.title = shown(kill.summary);
        row.button.dataset.state = undone ? 'undone' : kill.state;
        row.button.dataset.order = kill.action;
        row.button.setAttribute('aria-pressed', String(kill.id === shared.killId));
        row.when.textContent = timeOf(kill.created_at).slice(11, 19);
        return row.item;
      }),
    );
  }

  return { choices, at, isAlive, repaint, shown, plural };
})();
