/** The extension reads what the real command line said: documents recorded by tests/vscode of the repository. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ContractError, nameOf, nextOf, read, SHAPES, type Json, type Name } from '../src/contract';

const RECORDED = join(process.cwd(), 'test', 'recorded');

function recorded(name: string): Json {
  return JSON.parse(readFileSync(join(RECORDED, `${name}.json`), 'utf8')) as Json;
}

test('there is a recording of everything that is read, and nothing else', () => {
  const names = readdirSync(RECORDED).map((file) => file.replace(/\.json$/, ''));
  assert.deepEqual(names.sort(), Object.keys(SHAPES).sort());
});

for (const name of Object.keys(SHAPES) as Name[]) {
  test(`${name} is read as the command line writes it`, () => {
    const document = recorded(name);
    assert.equal(nameOf(document), name);
    assert.equal(read(name, document), document);
  });

  for (const field of Object.keys(SHAPES[name])) {
    test(`${name} without ${field} is refused by its name`, () => {
      const damaged = Object.fromEntries(Object.entries(recorded(name)).filter(([key]) => key !== field));
      assert.throws(() => read(name, damaged), (error) => error instanceof ContractError && error.message.includes(`${name}.${field}`));
    });
  }
}

test('another document, or another version of it, is refused', () => {
  assert.throws(() => read('plan', recorded('status')), ContractError);
  assert.throws(() => read('plan', { ...recorded('plan'), schema: 'remora.plan/v2' }), ContractError);
  assert.throws(() => read('plan', {}), ContractError);
});

test('items of lists are looked at too', () => {
  const plan = recorded('plan');
  assert.throws(() => read('plan', { ...plan, resources: [{ change: 'Create', kind: 'x' }] }), /plan\.resources\[0\]\.name/);
  assert.throws(() => read('plan', { ...plan, resources: 'none' }), /plan\.resources/);
});

test('an error names the next command', () => {
  assert.deepEqual(nextOf(recorded('error')), ['remora', 'up', '.']);
  assert.equal(nextOf({ next: null }), undefined);
  assert.equal(nextOf({ next: ['remora', 1] }), undefined);
});
