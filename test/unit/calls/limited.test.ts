import { Limited } from '../../../src/calls/limited';

function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describe('so many at once', () => {
  it('run, as many wait, and whoever comes on top is turned away', async () => {
    const limited = new Limited(1, 1);
    const { opened, open } = gate();
    const order: string[] = [];
    const first = limited.run(async () => {
      await opened;
      order.push('first');
    });
    const second = limited.run(() => Promise.resolve(order.push('second')));
    expect(await limited.run(() => Promise.resolve(order.push('third')))).toBeNull();
    expect(order).toEqual([]);
    open();
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second']);
  });

  it('leave their place when they fail', async () => {
    const limited = new Limited(1, 0);
    await expect(limited.run(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(await limited.run(() => Promise.resolve('next'))).toBe('next');
  });
});
