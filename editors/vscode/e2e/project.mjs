// The user's machine: a copy of the example, a home of its own with the local cloud, and places where `remora` may be.
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const EXAMPLE = path.resolve(import.meta.dirname, '../../../examples/tone');
const STANDINS = path.join(import.meta.dirname, 'standins');
const COMMAND_MS = 120_000;

export class Project {
  /** `program` is the real `remora`; the workbench finds none before one is put somewhere. */
  constructor(program) {
    this.program = program;
    this.root = fs.realpathSync(fs.mkdtempSync(`${os.tmpdir()}/remora-vscode-`));
    this.folder = `${this.root}/tone`;
    fs.cpSync(EXAMPLE, this.folder, { recursive: true });
    for (const place of ['path', 'interpreter']) fs.mkdirSync(this.places[place], { recursive: true });
    const clean = Object.entries(process.env).filter(([name]) => !/^(AZURE|REMORA)_/.test(name));
    const others = process.env.PATH.split(path.delimiter).filter((each) => !fs.existsSync(path.join(each, 'remora')));
    // VS Code takes the PATH of a login shell, which sets it anew.
    fs.writeFileSync(`${this.root}/.profile`, `export PATH='${[this.places.path, ...others].join(path.delimiter)}'\n`);
    this.environment = { ...Object.fromEntries(clean), HOME: this.root, OMP_WAIT_POLICY: 'passive', OMP_NUM_THREADS: '1', PIP_NO_INDEX: '1' };
  }

  /** Where an extension finds `remora`, the first one first. */
  get places() {
    return { venv: `${this.folder}/.venv/bin`, interpreter: `${this.root}/interpreter/bin`, path: `${this.root}/path` };
  }

  /** The same deployment's project in another folder, as somebody might send it. */
  copied() {
    const copy = Object.assign(Object.create(Project.prototype), this, { folder: `${this.folder}-copied` });
    fs.cpSync(this.folder, copy.folder, { recursive: true, filter: (file) => !/\/\.(venv|vscode)(\/|$)/.test(file) });
    return copy;
  }

  file(name) {
    return path.join(this.folder, name);
  }

  read(name) {
    return fs.readFileSync(this.file(name), 'utf8');
  }

  write(name, text) {
    fs.mkdirSync(path.dirname(this.file(name)), { recursive: true });
    fs.writeFileSync(this.file(name), text);
  }

  /** Puts a program `remora` into a place: one that only says a version. */
  pretend(place, version) {
    fs.mkdirSync(place, { recursive: true });
    const program = path.join(place, 'remora');
    fs.writeFileSync(program, `#!/bin/sh\necho "remora ${version}"\n`, { mode: 0o755 });
    return program;
  }

  wheel() {
    execFileSync('python3', [path.join(STANDINS, 'wheel.py'), this.root, this.program]);
    return `${this.root}/remora-0.1.0-py3-none-any.whl`;
  }

  remora(...words) {
    return promisify(execFile)(this.program, words, { cwd: this.folder, env: this.environment, timeout: COMMAND_MS });
  }

  async json(...words) {
    const { stdout } = await this.remora(...words, '--output', 'json');
    return JSON.parse(stdout);
  }

  /** Switches a fault of the local cloud on; starts the cloud if need be. */
  async fault(body) {
    await this.remora('cloud', 'start');
    const { arm_url: url, token } = JSON.parse(fs.readFileSync(`${this.root}/.remora/cloud/connection.json`, 'utf8'));
    const answer = await fetch(`${url}/_faults`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
  }

  async end({ keep }) {
    await this.remora('cloud', 'stop').catch(() => undefined);
    if (!keep) fs.rmSync(this.root, { recursive: true, force: true });
  }
}

/** A stand-in for an extension, packaged into a folder. */
export function packaged(name, folder) {
  const vsix = path.join(folder, `${name}.vsix`);
  const vsce = path.resolve(import.meta.dirname, '../node_modules/.bin/vsce');
  const words = ['package', '--no-dependencies', '--allow-missing-repository', '--skip-license', '--out', vsix];
  execFileSync(vsce, words, { cwd: path.join(STANDINS, name), stdio: 'pipe' });
  return vsix;
}
