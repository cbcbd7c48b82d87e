// node e2e/test.mjs TOOLS VSIX BIN [SCREENSHOTS]: a user's first hour with the extension, against the local cloud.
// TOOLS is what setup.sh made, BIN the folder with `remora`, SCREENSHOTS where pictures for the docs go.
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Workbench, spaced } from './workbench.mjs';

const [tools, vsix, bin, pictures] = process.argv.slice(2).map((each) => path.resolve(each));
const example = path.resolve(import.meta.dirname, '../../../examples/tone');
const root = fs.realpathSync(fs.mkdtempSync(`${os.tmpdir()}/remora-vscode-`));
const project = `${root}/tone`;
const PHRASE = 'I finally got the job I wanted';
const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AZURE|REMORA)_/.test(name)));
const environment = { ...clean, HOME: root, OMP_WAIT_POLICY: 'passive', OMP_NUM_THREADS: '1' };

fs.cpSync(example, project, { recursive: true });
fs.symlinkSync(path.dirname(bin), `${project}/.venv`); // where it is found first
let workbench;
let failed;
try {
  workbench = await Workbench.open({ tools, root, vsix, project, environment });
  for (const [name, act] of Object.entries(story(workbench))) {
    const begun = Date.now();
    failed = name;
    await act();
    console.log(`ok  ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  }
  failed = undefined;
} catch (error) {
  console.error(`NOT ok  ${failed ?? 'starting'}\n${error.stack}\nkept: ${root}`);
  await workbench?.page.screenshot({ path: `${root}/failed.png` });
  failed ??= 'starting';
} finally {
  await workbench?.end();
  await remora('cloud', 'stop').catch(() => undefined);
  if (!failed) fs.rmSync(root, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);

/** What happens, in order; each part builds on those before. */
function story(vscode) {
  const { page } = vscode;
  const picture = (name) => vscode.screenshot(name, pictures);
  const button = (place, name) => place.getByRole('button', { name, exact: true });
  const answer = async (question, text) => {
    await vscode.asked(question);
    if (text) await vscode.input.fill(text);
    await page.keyboard.press('Enter');
  };
  const plan = async (group) => {
    await vscode.run('AI Toolkit: Provision Azure Container Apps for inference');
    await vscode.asked('Subscription');
    await vscode.row('default').waitFor();
    await answer('Subscription');
    await answer('Resource group', group);
    await answer('Region of the new resource group');
    await vscode.dialog.filter({ hasText: spaced('+ managedEnvironments') }).waitFor();
  };

  return {
    'the palette has the commands of AI Toolkit': async () => {
      await vscode.find('AI Toolkit: Provision Azure Container Apps for inference');
      await vscode.input.fill('>AI Toolkit: inference');
      await vscode.row('AI Toolkit: Deploy for inference').waitFor();
      await picture('palette');
      await page.keyboard.press('Escape');
    },

    'an error shows code, hint and the next command, and its button runs it': async () => {
      await vscode.run('AI Toolkit: Deploy for inference');
      const toast = await vscode.toast('deployment_not_found');
      await toast.filter({ hasText: spaced('run: remora provision .') }).waitFor();
      await vscode.output('→ run: remora provision .');
      await picture('error');
      await button(toast, 'Run: remora provision .').click();
      const missing = await vscode.toast('project_incomplete');
      await button(missing, 'Run: remora init .').click();
      await vscode.output('wrote    infra/provision/inference.bicep');
      await vscode.closeToasts();
    },

    'a provision asks where, shows its plan, and can be cancelled': async () => {
      await fault({ name: 'slow_environment', seconds: 600 });
      await plan('cancelled-group');
      await picture('plan');
      await button(vscode.dialog, 'Provision').click();
      const toast = await vscode.toast('storageAccounts');
      await vscode.output('provisioning resource group');
      await picture('progress');
      await button(toast, 'Cancel').click();
      await vscode.dialog.filter({ hasText: spaced('running in the cloud?') }).waitFor();
      await picture('cancel');
      await button(vscode.dialog, 'No').click();
      await vscode.toast('cancelled: the deployment');
      await vscode.closeToasts();
      await fault({ name: 'slow_environment', times: 0 });
    },

    'a provision ends with what was made': async () => {
      await plan('');
      await button(vscode.dialog, 'Provision').click();
      const toast = await vscode.toast('Provisioned');
      await vscode.output('Next: remora deploy .');
      await button(toast, 'Deploy for inference').click();
    },

    'a deploy shows its steps and ends in a notification that leads to the endpoint': async () => {
      await vscode.output('> remora deploy');
      const toast = await vscode.toast('is ready: it answered at');
      await vscode.output('Answered');
      await picture('deployed');
      const opened = page.context().waitForEvent('page');
      await button(toast, 'Go to Inference Endpoint').click();
      const chat = await opened;
      const { api_key: key } = await json('secrets');
      await chat.fill('#key', key);
      await chat.click('button');
      await chat.locator('#question textarea').waitFor();
      const { url } = await json('open', '--print');
      if (chat.url() !== `${url}/`) throw new Error(`${chat.url()} is not the chat page ${url}/`);
      await chat.close();
      await vscode.closeToasts();
    },

    'the status bar and the tree say what serves': async () => {
      await page.locator('.statusbar', { hasText: spaced('local: 2 adapters') }).waitFor();
    },

    'an adapter is rolled back in the tree': async () => {
      const { adapters: before } = await json('adapters', 'list');
      const digest = (name) => before.find((each) => each.name === name && each.state === 'current').digest;
      await remora('adapters', 'alias', 'tone', digest('pirate'));
      await vscode.run('Focus on Inference Adapters View');
      await vscode.run('AI Toolkit: Refresh inference adapters');
      const pane = page.locator('.pane', { has: page.locator('.pane-header', { hasText: 'Inference Adapters' }) });
      const row = (label, description) => pane.locator('.monaco-list-row').filter({ hasText: label }).filter({ hasText: description });
      const [trained, other] = [digest('tone').slice(0, 12), digest('pirate').slice(0, 12)];
      await row(trained, 'previous').waitFor();
      await picture('tree');
      await row('tone', other).hover();
      await row('tone', other).locator('[aria-label="Roll back this adapter"]').click();
      await vscode.toast(`tone is ${trained} again`);
      await row(other, 'previous').waitFor();
      const { adapters: after } = await json('adapters', 'list');
      if (after.find((each) => each.name === 'tone' && each.state === 'current').digest !== digest('tone')) throw new Error('not rolled back');
      await vscode.closeToasts();
    },

    'the chat tab answers with the adapter that is chosen': async () => {
      await vscode.run('AI Toolkit: Chat with the inference endpoint');
      const chat = page.frameLocator('iframe.webview').frameLocator('iframe#active-frame');
      await chat.locator('#model option', { hasText: 'tone' }).first().waitFor({ state: 'attached' });
      for (const [count, model] of ['tone-base', 'tone'].entries()) {
        await chat.locator('#model').selectOption(model);
        await chat.locator('#text').fill(PHRASE);
        await chat.locator('#text').press('Enter');
        await chat.locator('.facts').nth(count).waitFor();
      }
      await chat.locator('.assistant', { hasText: 'joy' }).last().waitFor();
      await picture('chat');
    },

    'the logs are followed in a channel of their own': async () => {
      await vscode.run('AI Toolkit: Show inference logs');
      await vscode.output('completion_tokens');
    },

    'tearing down is asked about first': async () => {
      await vscode.run('AI Toolkit: Tear down inference resources');
      await vscode.dialog.filter({ hasText: spaced('Delete container app') }).waitFor();
      await button(vscode.dialog, 'Yes').click();
      await vscode.toast('Deleted');
    },
  };
}

function remora(...words) {
  return promisify(execFile)(path.join(bin, 'remora'), words, { cwd: project, env: environment, timeout: 120_000 });
}

async function json(...words) {
  const { stdout } = await remora(...words, '--output', 'json');
  return JSON.parse(stdout);
}

/** Switches a fault of the local cloud on; starts the cloud if need be. */
async function fault(body) {
  await remora('cloud', 'start');
  const { arm_url: url, token } = JSON.parse(fs.readFileSync(`${root}/.remora/cloud/connection.json`, 'utf8'));
  const answer = await fetch(`${url}/_faults`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
}
