// A VS Code workbench in Chromium with the packaged extension, and what a user does in it. Knows nothing of Remora.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import path from 'node:path';

const START_MS = 60_000;
const WAIT_MS = 120_000; // for what takes a second on an idle machine
const REOPEN_MS = 3_000;
const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const SETTINGS = {
  'workbench.startupEditor': 'none', 'workbench.colorTheme': 'Default Dark Modern', 'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true, 'telemetry.telemetryLevel': 'off', 'security.workspace.trust.enabled': false,
  'workbench.enableExperiments': false, 'window.commandCenter': false, 'chat.commandCenter.enabled': false,
};

export class Workbench {
  /** Starts server and browser with an extension (.vsix) in a project folder; everything is kept below `root`. */
  static async open({ tools, root, vsix, project, environment }) {
    const require = createRequire(`${tools}/`);
    const { chromium } = require('playwright-core');
    const program = `${tools}/node_modules/.bin/code-server`;
    const port = await freePort();
    const env = { ...process.env, ...environment, HOME: root };
    for (const folder of ['data/User', 'extensions']) fs.mkdirSync(`${root}/${folder}`, { recursive: true });
    fs.writeFileSync(`${root}/config.yaml`, '');
    fs.writeFileSync(`${root}/data/User/settings.json`, JSON.stringify(SETTINGS));
    const folders = ['--config', `${root}/config.yaml`, '--user-data-dir', `${root}/data`, '--extensions-dir', `${root}/extensions`];
    execFileSync(program, [...folders, '--install-extension', vsix], { env, stdio: ['ignore', 'ignore', 'ignore'] });
    const log = fs.openSync(`${root}/server.log`, 'w');
    const server = spawn(program, [...folders, '--bind-addr', `127.0.0.1:${port}`, '--auth', 'none', '--disable-telemetry',
      '--disable-update-check', '--disable-workspace-trust', '--disable-getting-started-override', '--ignore-last-opened',
      '--link-protection-trusted-domains', 'http://127.0.0.1', project], { env, stdio: ['ignore', log, log] });
    const ended = new Promise((resolve) => { server.on('exit', resolve); });
    const url = `http://127.0.0.1:${port}`;
    const deadline = Date.now() + START_MS;
    while (!(await fetch(`${url}/healthz`).then((answer) => answer.ok, () => false))) {
      if (Date.now() > deadline) throw new Error('the server does not answer');
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: CHROMIUM_FLAGS });
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    // A desktop opens such an address as it is; code-server's own proxy would answer below a path of its own.
    await context.route(/\/proxy\/\d+\//, (route) => {
      const [, target] = /\/proxy\/(\d+)\//.exec(route.request().url());
      return route.fulfill({ status: 302, headers: { location: `http://127.0.0.1:${target}/` } });
    });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    await page.goto(`${url}/?folder=${project}`);
    await page.locator('.monaco-workbench .statusbar').waitFor();
    return new Workbench(page, async () => { await browser.close(); server.kill('SIGTERM'); await ended; });
  }

  constructor(page, end) {
    this.page = page;
    this.end = end;
    this.input = page.locator('.quick-input-widget input');
    this.toasts = page.locator('.notifications-toasts .notification-toast');
    this.dialog = page.locator('.monaco-dialog-box');
  }

  row(text) {
    return this.page.locator('.quick-input-list .monaco-list-row', { hasText: text }).first();
  }

  /** Opens the palette until it lists the command: it lists those that were known when it opened. */
  async find(title) {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      await this.page.keyboard.press('F1');
      await this.input.waitFor();
      await this.input.fill(`>${title}`);
      try {
        await this.row(title).waitFor({ timeout: REOPEN_MS });
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
      await this.page.keyboard.press('Escape');
      await this.input.waitFor({ state: 'hidden' });
    }
  }

  async run(title) {
    await this.find(title);
    await this.row(title).click();
  }

  /** Waits for a quick pick or an input box that asks this. */
  async asked(question) {
    await this.page.getByPlaceholder(question).or(this.page.locator('.quick-input-message', { hasText: question })).first().waitFor();
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

  async closeToasts() {
    await this.page.keyboard.press('F1');
    await this.input.waitFor();
    await this.input.fill('>Notifications: Clear All Notifications');
    await this.row('Clear All Notifications').click();
    await this.toasts.first().waitFor({ state: 'hidden' });
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
