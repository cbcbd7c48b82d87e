// A VS Code server, its workbench in Chromium, and what a user does in it. Knows nothing of Remora.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import path from 'node:path';

const START_MS = 60_000;
const WAIT_MS = 120_000; // for what takes a second on an idle machine
const REOPEN_MS = 3_000;
const TOASTS_MS = 800; // VS Code shows three toasts within this time, and puts others only where the bell leads
const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const SETTINGS = {
  'workbench.startupEditor': 'none', 'workbench.colorTheme': 'Default Dark Modern', 'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true, 'telemetry.telemetryLevel': 'off', 'security.workspace.trust.banner': 'never',
  'workbench.enableExperiments': false, 'window.commandCenter': false, 'chat.commandCenter.enabled': false,
  'files.autoSave': 'off', // as on a desktop
  'terminal.integrated.gpuAcceleration': 'off', // its text is in the page only where no canvas draws it
};

/** code-server with extensions, and a browser; everything is kept below `root`. */
export class Server {
  static async open({ tools, root, extensions, environment }) {
    const { chromium } = createRequire(`${tools}/`)('playwright-core');
    for (const folder of ['data/User', 'extensions']) fs.mkdirSync(`${root}/${folder}`, { recursive: true });
    fs.writeFileSync(`${root}/config.yaml`, '');
    fs.writeFileSync(`${root}/data/User/settings.json`, JSON.stringify(SETTINGS));
    const server = new Server(tools, root, { ...process.env, ...environment, HOME: root });
    for (const vsix of extensions) server.install(vsix);
    await server.start();
    server.browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: CHROMIUM_FLAGS });
    return server;
  }

  constructor(tools, root, env) {
    Object.assign(this, { root, env, program: `${tools}/node_modules/.bin/code-server` });
    this.folders = ['--config', `${root}/config.yaml`, '--user-data-dir', `${root}/data`, '--extensions-dir', `${root}/extensions`];
  }

  install(vsix) {
    execFileSync(this.program, [...this.folders, '--install-extension', vsix], { env: this.env, stdio: 'ignore' });
  }

  /** The user's settings, as VS Code wrote them. */
  get settings() {
    return JSON.parse(fs.readFileSync(`${this.root}/data/User/settings.json`, 'utf8'));
  }

  async start() {
    const log = fs.openSync(`${this.root}/server.log`, 'w');
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    this.process = spawn(this.program, [...this.folders, '--bind-addr', `127.0.0.1:${port}`, '--auth', 'none', '--disable-telemetry',
      '--disable-update-check', '--disable-getting-started-override', '--ignore-last-opened',
      '--link-protection-trusted-domains', 'http://127.0.0.1'], { env: this.env, stdio: ['ignore', log, log] });
    this.ended = new Promise((resolve) => { this.process.on('exit', resolve); });
    const deadline = Date.now() + START_MS;
    while (!(await fetch(`${this.url}/healthz`).then((answer) => answer.ok, () => false))) {
      if (Date.now() > deadline) throw new Error('the server does not answer');
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }

  /** A window of a user who has not been here before, and who trusts the folder or not. */
  async visit(folder, { trust }) {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 } });
    // A desktop opens such an address as it is; code-server's own proxy would answer below a path of its own.
    await context.route(/\/proxy\/\d+\//, (route) => {
      const [, target] = /\/proxy\/(\d+)\//.exec(route.request().url());
      return route.fulfill({ status: 302, headers: { location: `http://127.0.0.1:${target}/` } });
    });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    await page.goto(`${this.url}/?folder=${folder}`);
    const workbench = new Workbench(page, this);
    await workbench.drawn();
    await workbench.dialog.getByRole('button', { name: trust ? 'Yes, I trust the authors' : 'No, I don\'t trust the authors' }).click();
    return workbench;
  }

  async end() {
    await this.browser?.close();
    this.process.kill('SIGTERM');
    await this.ended;
  }
}

export class Workbench {
  constructor(page, server) {
    Object.assign(this, { page, server });
    this.input = page.locator('.quick-input-widget .quick-input-box input');
    this.toasts = page.locator('.notifications-toasts .notification-toast');
    this.dialog = page.locator('.monaco-dialog-box');
    this.problems = page.locator('.markers-panel .monaco-list-row');
  }

  async drawn() {
    await this.page.locator('.monaco-workbench .statusbar').waitFor();
  }

  row(text) {
    return this.page.locator('.quick-input-list .monaco-list-row', { hasText: text }).first();
  }

  /** Opens the palette until it lists the command. */
  async find(title) {
    await this.reopen(() => this.palette(title), title);
  }

  /** Opens a list until it has a row with this text: it has those that were known when it opened. */
  async reopen(open, text) {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      await open();
      try {
        await this.row(text).waitFor({ timeout: REOPEN_MS });
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
      await this.page.keyboard.press('Escape');
      await this.input.waitFor({ state: 'hidden' });
    }
  }

  async palette(text) {
    await this.page.keyboard.press('F1');
    await this.input.waitFor();
    await this.input.fill(`>${text}`);
  }

  async run(title) {
    await this.find(title);
    await this.row(title).click();
  }

  /** Opens a file, by its whole path, in an editor. */
  async edit(file) {
    await this.run('File: Open File');
    await this.page.locator('.quick-input-title', { hasText: 'Open File' }).waitFor();
    await this.row('..').waitFor(); // it has begun with the folder, and puts no other path in later
    await this.input.fill(file);
    await this.row(path.basename(file)).click();
    await this.page.locator('.tab.active', { hasText: path.basename(file) }).waitFor();
  }

  /** Waits for a quick pick or an input box that asks this. */
  async asked(question) {
    await this.page.getByPlaceholder(question).or(this.page.locator('.quick-input-message', { hasText: question })).first().waitFor();
  }

  /** Types into the input box that asks this; without a text takes what it offers. */
  async answer(question, text) {
    await this.asked(question);
    if (text) await this.input.fill(text);
    await this.input.press('Enter');
  }

  button(place, name) {
    return place.getByRole('button', { name, exact: true });
  }

  /** The modal question with this text, once it is there. */
  async question(text) {
    const dialog = this.dialog.filter({ hasText: spaced(text) });
    await dialog.waitFor();
    return dialog;
  }

  /** The toast with this text, once it is there. */
  async toast(text) {
    const toast = this.toasts.filter({ hasText: spaced(text) }).last();
    await toast.waitFor();
    return toast;
  }

  /** The text of the output panel may trail what it is about: wait for it. */
  async output(text) {
    await this.page.locator('.part.panel .view-lines').filter({ hasText: spaced(text) }).waitFor();
  }

  /** The text of the terminal; a line that is longer than the terminal is wide is not found whole. */
  async terminal(text) {
    await this.page.locator('.xterm-rows').filter({ hasText: spaced(text) }).last().waitFor();
  }

  /** Takes as long as a user at least, or the next toast may be one too many for VS Code to show. */
  async closeToasts() {
    await this.run('Notifications: Clear All Notifications');
    await this.toasts.first().waitFor({ state: 'hidden' });
    await this.page.waitForTimeout(TOASTS_MS);
  }

  async screenshot(name, folder) {
    if (folder) await this.page.screenshot({ path: path.join(folder, `vscode-${name}.png`) });
  }
}

/** A text as it is drawn: Monaco's spaces are no-break ones. */
export function spaced(text) {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/ /g, '[\\s\\u00a0]'));
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => { resolve(port); }); });
  });
}
