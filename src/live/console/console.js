// The page's behaviour: the key, the banner, choosing, killing.
(() => {
  'use strict';
  const { call, connect, events, forget, keepKill, readKill, readTree, reload, shared } =
    window.severData;
  const { at, choices, isAlive, plural, repaint, shown } = window.severView;

  const KEY_SLOT = 'sever.console.key';

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
    forget();
    if (at('confirm').open) at('confirm').close();
    at('board').hidden = true;
    at('forget').hidden = true;
    at('banner').hidden = true;
    at('gate').hidden = false;
    at('gate-error').textContent = why;
    setLink('off', 'not connected');
    at('key').focus();
  }

  function setLink(state, text) {
    at('link').dataset.state = state;
    at('link').textContent = text;
  }

  function showBanner(text) {
    if (!shared.key) return;
    at('banner').textContent = text;
    at('banner').hidden = false;
  }

  Object.assign(events, {
    changed: repaint,
    refused: leave,
    live() {
      setLink('on', 'live');
      at('banner').hidden = true;
    },
    lost() {
      setLink('lost', 'reconnecting');
      showBanner(
        'Connection lost; reconnecting. What you see may be out of date. A kill still works if the control plane answers.',
      );
    },
    stale(error) {
      showBanner(`Could not read the present state (${error.message}); trying again.`);
    },
  });

  Object.assign(choices, {
    agent(id) {
      shared.agentId = id;
      repaint();
      requestAnimationFrame(() => at('agent-card').scrollIntoView({ block: 'nearest' }));
    },
    kill(id) {
      shared.killId = id;
      readKill(id).catch((error) => showBanner(error.message));
      repaint();
      requestAnimationFrame(() => at('kill-card').scrollIntoView({ block: 'nearest' }));
    },
  });

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
        const alive = below.filter(isAlive).length;
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
      keepKill(done);
      at('confirm').close();
      at('reason').value = '';
      at('ticket').value = '';
      choices.kill(done.id);
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
  at('kill-close').addEventListener('click', () => {
    shared.killId = null;
    repaint();
  });
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
})();
