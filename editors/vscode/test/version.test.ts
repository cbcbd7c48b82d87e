import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fits, versionIn } from '../src/version';

test('a version is what follows the name', () => {
  assert.equal(versionIn('remora 0.1.0\n'), '0.1.0');
  assert.equal(versionIn('a warning\nremora 1.22.333\n'), '1.22.333');
  assert.equal(versionIn('Python 3.11.2'), undefined);
  assert.equal(versionIn(''), undefined);
});

test('the range has its first version and not its last', () => {
  const range = { from: '0.9.5', below: '0.11.0' };
  const fitting = ['0.9.5', '0.9.10', '0.10.0', '0.10.99'];
  const others = ['0.9.4', '0.11.0', '0.8.9', '1.0.0', '0.0.0'];
  assert.deepEqual(fitting.filter((version) => !fits(version, range)), []);
  assert.deepEqual(others.filter((version) => fits(version, range)), []);
});
