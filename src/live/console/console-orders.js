// The dialog by which orders are given: why, for how long, and for what is final a look at what it would stop.
(() => {
  'use strict';
  const { call, keepKill, readKill, reload, shared } = window.severData;
  const { at, choices, plural, shown } = window.severView;

  const BROKEN =
    'The connection broke; it may have been carried out. Press again: the same order is repeated, never a second one.';
  const MOST_NAMES = 12;

  /** What can be done, in words. `final` ones take a second step, which shows the plan first. */
  const ACTS = {
    kill: {
      title: (name) => `Kill ${name}?`,
      text: 'For good: neither it, nor anything below it, nor a credential of theirs ever works again.',
      button: 'Kill',
      final: true,
      ticket: true,
      request: ({ subject, words, plan, ticket }) => ({
        path: '/v1/kills?wait=0',
        body: { subject, reason: words, ...ticket, ...(plan && { if_plan_hash: plan.plan_hash }) },
      }),
    },
    suspend: {
      title: (name) => `Suspend ${name}?`,
      text: 'It and all below it are refused until the suspension is lifted. Then they go on as before.',
      button: 'Suspend',
      ticket: true,
      terms: true,
      request: ({ subject, words, ticket }) => ({
        path: '/v1/kills?wait=0',
        body: {
          subject,
          action: 'suspend',
          reason: words,
          ...ticket,
          level: at('level').value,
          ...(at('expires').value && { expires_in: at('expires').value }),
        },
      }),
    },
    lift: {
      title: (name) => `Lift the suspension of ${name}?`,
      text: 'What it held back goes on with the credentials that it has.',
      button: 'Lift',
      request: ({ killId, words }) => ({
        path: `/v1/kills/${encodeURIComponent(killId)}/lift`,
        body: { reason: words },
      }),
    },
    escalate: {
      title: (name) => `Make a kill of the suspension of ${name}?`,
      text: 'For good: what is suspended now never works again.',
      button: 'Kill',
      final: true,
      request: ({ killId, words }) => ({
        path: `/v1/kills/${encodeURIComponent(killId)}/escalate?wait=0`,
        body: { reason: words },
      }),
    },
    reinstate: {
      title: (name) => `Reinstate ${name}?`,
      text: 'It gets a new generation: what is issued to it from now on works. Old credentials and what it had spawned stay dead.',
      button: 'Reinstate',
      kills: true,
      request: ({ subject, words, standing }) => ({
        path: `/v1/subjects/${encodeURIComponent(subject.kind)}/${encodeURIComponent(subject.id)}/reinstate`,
        body: { kill_ids: standing.map(({ id }) => id), reason: words },
      }),
    },
  };

  /** What the dialog is about; null while it is closed. */
  let order = null;

  /** @param about `{act, name, subject}`, and `killId` for what is done to an order */
  function open(about) {
    const act = ACTS[about.act];
    order = { ...about, step: 1, plan: null, standing: null, sent: '', key: '' };
    at('confirm-title').textContent = act.title(shown(about.name));
    at('confirm-text').textContent = act.text;
    at('terms').hidden = !act.terms;
    at('ticket-row').hidden = !act.ticket;
    at('reason').value = '';
    showStep(1);
    at('confirm').showModal();
    at('reason').focus();
    if (act.kills) void listKills(order);
  }

  function showStep(step) {
    const act = ACTS[order.act];
    order.step = step;
    at('plan').hidden = step === 1;
    at('back').hidden = step === 1;
    at('order-form').disabled = step === 2;
    at('confirm-error').textContent = '';
    const go = at('confirm-go');
    go.disabled = false;
    go.textContent = act.final && step === 1 ? 'Preview' : act.button;
    go.className = act.final && step === 2 ? 'danger' : 'primary';
  }

  async function listKills(asked) {
    const { kind, id } = asked.subject;
    at('confirm-go').disabled = true;
    try {
      const query = new URLSearchParams({ subject: `${kind}:${id}`, limit: '100' });
      const { items } = await call(`/v1/kills?${query}`);
      if (order !== asked) return;
      order.standing = items.filter((one) => one.action === 'kill' && !one.reinstated);
      showPlan(
        `It releases ${plural(order.standing.length, 'kill')}:`,
        order.standing.map((one) => `${one.id} by ${one.created_by.name}: ${one.reason}`),
        '',
      );
      at('confirm-go').disabled = order.standing.length === 0;
    } catch (error) {
      if (order === asked) complain(error);
    }
  }

  /** The first press of what is final: nothing is done yet. */
  async function preview(words) {
    const asked = order;
    at('confirm-go').disabled = true;
    try {
      const subjects = order.subjects ?? [order.subject];
      const plan = await call('/v1/kills/preview', {
        method: 'POST',
        body: { subjects, reason: words },
      });
      if (order !== asked) return;
      order.plan = plan;
      showStep(2);
      const { agents, credentials } = plan.counts;
      const names = plan.agents.map(({ name, initiator }) => `${name}, for ${initiator}`);
      const kept = plan.keep_another_lineage.map(({ name }) => name).join(', ');
      showPlan(
        `It stops ${plural(agents, 'living agent')} with ${plural(credentials, 'credential')}:`,
        names,
        kept && `These live on by another lineage: ${kept}`,
      );
      at('confirm-go').textContent = `Kill ${plural(agents, 'agent')}`;
    } catch (error) {
      if (order !== asked) return;
      if (error.status >= 400 && error.status < 500) return complain(error);
      // A switch that needs its preview to work is no switch.
      order.plan = null;
      showStep(2);
      showPlan('What it would stop could not be counted. It works all the same.', [], '');
    }
    at('plan').focus();
  }

  function showPlan(sentence, names, note) {
    at('plan').hidden = false;
    at('plan-text').textContent = sentence;
    const rows = names.slice(0, MOST_NAMES);
    if (names.length > rows.length) rows.push(`and ${names.length - rows.length} more`);
    at('plan-names').replaceChildren(
      ...rows.map((text) => {
        const item = document.createElement('li');
        item.className = 'hostile';
        item.textContent = shown(text);
        return item;
      }),
    );
    at('plan-note').textContent = shown(note);
  }

  function newKey() {
    // randomUUID exists only on https and localhost.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return `console-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  }

  async function press() {
    const words = at('reason').value.trim();
    if (words === '') {
      at('confirm-error').textContent = 'Say why; the reason is kept in the record.';
      return;
    }
    if (ACTS[order.act].final && order.step === 1) await preview(words);
    else await send(words);
  }

  async function send(words) {
    const asked = order;
    const ticket = at('ticket').value.trim();
    const { path, body } = ACTS[order.act].request({
      ...order,
      words,
      ticket: ticket ? { ticket } : {},
    });
    // The same order sent again is the same one: only other words make a new one.
    const text = JSON.stringify(body);
    if (order.sent !== text) Object.assign(order, { sent: text, key: newKey() });
    at('confirm-go').disabled = true;
    at('confirm-error').textContent = '';
    try {
      const headers = { 'idempotency-key': order.key };
      const done = await call(path, { method: 'POST', body, headers });
      if (order === asked) at('confirm').close();
      at('ticket').value = '';
      const killId = done.id ?? done.released[0];
      if (done.id) keepKill(done);
      else await readKill(killId).catch(() => undefined);
      choices.kill(killId);
      reload();
    } catch (error) {
      if (order !== asked) return;
      // Somebody was born meanwhile: look again, with the new numbers.
      if (error.code === 'plan_changed') {
        await preview(words);
        if (order === asked) at('confirm-error').textContent = error.message;
      } else complain(error);
    }
  }

  /** What the control plane says is a sentence already; also when the key may not do this. */
  function complain(error) {
    at('confirm-go').disabled = false;
    at('confirm-error').textContent =
      error instanceof TypeError
        ? order.act === 'reinstate'
          ? 'The connection broke; look at the kill before you press again.'
          : BROKEN
        : `${shown(error.message)} (${error.code})`;
  }

  at('confirm-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (order) void press();
  });
  at('cancel').addEventListener('click', () => at('confirm').close());
  at('back').addEventListener('click', () => {
    showStep(1);
    at('reason').focus();
  });
  at('confirm').addEventListener('close', () => {
    order = null;
  });

  /** The order that holds the chosen agent, and what it names. */
  function onAgent(act) {
    const agent = shared.agents.get(shared.agentId);
    if (!agent) return;
    const subject = { kind: 'agent', id: agent.id };
    if (act === 'kill' || act === 'suspend') open({ act, name: agent.name, subject });
    else if (agent.because)
      void onOrder(
        act,
        agent.because.kill_id,
        agent.because.subject,
        nameOf(agent.because.subject),
      );
  }

  async function onOrder(act, killId, subject, name) {
    if (!shared.kills.has(killId)) await readKill(killId).catch(() => undefined);
    const { subjects } = shared.kills.get(killId) ?? {};
    open({ act, name, subject, killId, ...(subjects && { subjects }) });
  }

  function onKill(act) {
    const kill = shared.kills.get(shared.killId);
    if (kill) void onOrder(act, kill.id, kill.subject, nameOf(kill.subject));
  }

  function nameOf({ kind, id }) {
    return shared.agents.get(id)?.name ?? `${kind} ${id}`;
  }

  for (const act of Object.keys(ACTS)) {
    at(`agent-${act}`).addEventListener('click', () => onAgent(act));
    at(`order-${act}`)?.addEventListener('click', () => onKill(act));
  }
})();
