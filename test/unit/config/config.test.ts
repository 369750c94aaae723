import { ConfigError, loadConfig } from '../../../src/config/config';

describe('the settings', () => {
  it.each([
    ['0', 0],
    ['7401', 7401],
    ['65535', 65_535],
  ])('take %j as a port', (text, port) => {
    expect(loadConfig({ SEVER_PORT: text }).port).toBe(port);
  });

  it('take an empty variable for an unset one', () => {
    expect(loadConfig({ SEVER_PORT: '' }).port).toBe(7400);
  });

  it.each([' ', ' 80', '80 ', '0x50', '1e3', '-1', '1.5', '65536', '999999', 'http'])(
    'refuse %j as a port, and name the variable',
    (text) => {
      expect(() => loadConfig({ SEVER_PORT: text })).toThrow(ConfigError);
      expect(() => loadConfig({ SEVER_PORT: text })).toThrow(/^SEVER_PORT: must be a port/);
    },
  );
});
