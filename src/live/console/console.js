// The page's behaviour: the key, the banner, choosing.
(() => {
  'use strict';
  const { call, connect, events, forget, readKill, shared } = window.severData;
  const { at, choices, repaint } = window.severView;

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
    repaint();
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
  at('kill-close').addEventListener('click', () => {
    shared.killId = null;
    repaint();
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
