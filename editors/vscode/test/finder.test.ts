/** Which `remora` is found, in folders made for it. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { candidates, find, type Places } from '../src/finder';

const root = mkdtempSync(join(tmpdir(), 'remora-finder-'));
after(() => { rmSync(root, { recursive: true }); });

const RANGE = { from: '0.1.0', below: '0.2.0' };
const nowhere: Places = { setting: '', workspace: undefined, interpreter: undefined, path: '', windows: false };

function install(folder: string, prints: string): string {
  const path = join(root, folder, 'remora');
  mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(path, `#!/bin/sh\necho "${prints}"\n`);
  chmodSync(path, 0o755);
  return path;
}

const setting = install('setting', 'remora 0.1.9');
const venv = install('workspace/.venv/bin', 'remora 0.1.1');
const python = install('python/bin', 'remora 0.1.2');
const onPath = install('path', 'remora 0.2.0');
const broken = install('broken', 'something else');

const everywhere: Places = {
  setting: '',
  workspace: join(root, 'workspace'),
  interpreter: join(root, 'python/bin/python3'),
  path: ['relative', join(root, 'empty'), join(root, 'path')].join(delimiter),
  windows: false,
};

test('the setting comes before all, then .venv, the interpreter, PATH', () => {
  assert.deepEqual(candidates(everywhere), [[venv], [python], [onPath]]);
  assert.deepEqual(candidates({ ...everywhere, setting }), [[setting]]);
});

test('without trust nothing of the workspace is looked at', () => {
  assert.deepEqual(candidates({ ...everywhere, workspace: undefined, interpreter: undefined }), [[onPath]]);
});

test('the first that answers is taken, with its version', async () => {
  assert.deepEqual(await find(everywhere, RANGE), { program: [venv], version: '0.1.1', fits: true });
  const path = [join(root, 'broken'), join(root, 'path')].join(delimiter);
  assert.deepEqual(await find({ ...nowhere, path }, RANGE), { program: [onPath], version: '0.2.0', fits: false });
});

test('none is none', async () => {
  assert.equal(await find(nowhere, RANGE), undefined);
  assert.equal(await find({ ...nowhere, setting: broken }, RANGE), undefined);
  assert.equal(await find({ ...nowhere, setting: '/no/such/remora' }, RANGE), undefined);
});
