// From an error in an empty project to an endpoint that answers, rolls back and is torn down.
import { spaced } from '../workbench.mjs';

const PHRASE = 'I finally got the job I wanted';
const SECRET = 'hf_a_secret_value';

export function provisioning(vscode, project, picture) {
  const plan = async () => {
    await vscode.run('AI Toolkit: Provision Azure Container Apps for inference');
    return vscode.question('+ managedEnvironments');
  };

  return {
    'the palette has the commands of AI Toolkit': async () => {
      await vscode.find('AI Toolkit: Provision Azure Container Apps for inference');
      await vscode.input.fill('>AI Toolkit: inference');
      await vscode.row('AI Toolkit: Deploy for inference').waitFor();
      await picture('palette');
      await vscode.page.keyboard.press('Escape');
    },

    'an error shows code, hint and the next command as a button': async () => {
      await vscode.run('AI Toolkit: Deploy for inference');
      const toast = await vscode.toast('deployment_not_found');
      await toast.filter({ hasText: spaced('run: remora up') }).waitFor();
      await vscode.output('→ run: remora up');
      await vscode.button(toast, 'Run: remora up').waitFor();
      await picture('error');
      await vscode.closeToasts();
    },

    'a provision shows its plan, and can be cancelled': async () => {
      await project.fault({ name: 'slow_environment', seconds: 600 });
      const shown = await plan();
      await picture('plan');
      await vscode.button(shown, 'Provision').click();
      const toast = await vscode.toast('storageAccounts');
      await vscode.output('provisioning resource group');
      await picture('progress');
      await vscode.button(toast, 'Cancel').click();
      const question = await vscode.question('running in the cloud?');
      await picture('cancel');
      await vscode.button(question, 'No').click();
      await vscode.toast('cancelled: the deployment');
      await vscode.closeToasts();
      await project.fault({ name: 'slow_environment', times: 0 });
    },

    'a provision ends with what was made': async () => {
      await vscode.button(await plan(), 'Provision').click();
      const toast = await vscode.toast('Provisioned');
      await vscode.output('Next: remora deploy');
      await vscode.button(toast, 'Deploy for inference').click();
    },
  };
}

export function serving(vscode, project, picture) {
  const { page } = vscode;

  return {
    'a deploy shows its steps and ends in a notification that leads to the endpoint': async () => {
      await vscode.output('> remora deploy');
      const toast = await vscode.toast('is ready: it answered at');
      await vscode.output('Answered');
      await picture('deployed');
      const opened = page.context().waitForEvent('page');
      await vscode.button(toast, 'Go to Inference Endpoint').click();
      const chat = await opened;
      const { api_key: key } = await project.json('secrets');
      await chat.fill('#key', key);
      await chat.click('button');
      await chat.locator('#question textarea').waitFor();
      const { url } = await project.json('open', '--print');
      if (chat.url() !== `${url}/`) throw new Error(`${chat.url()} is not the chat page ${url}/`);
      await chat.close();
      await vscode.closeToasts();
    },

    'the status bar and the tree say what serves': async () => {
      await page.locator('.statusbar', { hasText: spaced('local: 2 adapters') }).waitFor();
    },

    'the status is shown in the output channel': async () => {
      const { revision } = await project.json('status');
      await vscode.run('AI Toolkit: Show inference status');
      await vscode.output('> remora status');
      await vscode.output(revision.name);
    },

    'an adapter is rolled back in the tree': async () => {
      const { adapters: before } = await project.json('adapters', 'list');
      const digest = (name) => before.find((each) => each.name === name && each.state === 'current').digest;
      await project.remora('adapters', 'alias', 'tone', digest('pirate'));
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
      const { adapters: after } = await project.json('adapters', 'list');
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

    'adapters are compared in a tab': async () => {
      await vscode.run('AI Toolkit: Compare adapters');
      await page.locator('.tab.active', { hasText: 'Comparison of adapters' }).waitFor();
      const report = page.frameLocator('iframe.webview').last().frameLocator('iframe#active-frame');
      await report.getByText('tone answers').first().waitFor();
      await picture('compare');
      await page.locator('.tab.active').click({ button: 'middle' });
    },

    'the logs are followed in a channel of their own': async () => {
      await vscode.run('AI Toolkit: Show inference logs');
      await vscode.output('completion_tokens');
    },
  };
}

export function changing(vscode, project) {
  const secret = async () => {
    await vscode.run('AI Toolkit: Add Azure Container Apps secret for inference');
    await vscode.answer('Name of the environment variable');
  };

  return {
    'a secret is kept for the container and for the next time, and never in a setting': async () => {
      await secret();
      await vscode.answer('Value of HF_TOKEN', SECRET);
      await vscode.toast('keeps HF_TOKEN');
      await vscode.closeToasts();
      await secret();
      await vscode.row('Use the value kept on this machine').click();
      const toast = await vscode.toast('keeps HF_TOKEN');
      if (JSON.stringify(vscode.server.settings).includes(SECRET)) throw new Error('the secret is in a setting');
      project.write('remora.toml', `${project.read('remora.toml')}\n[serve]\nmax_queued_requests = 50\n`); // another release
      await vscode.button(toast, 'Deploy for inference').click();
      await vscode.toast('is ready: it answered at');
      await vscode.closeToasts();
    },

    'a roll back is asked about, and then the former release serves': async () => {
      const rollBack = async (answer) => {
        await vscode.run('AI Toolkit: Roll back inference');
        await vscode.button(await vscode.question('Roll back to the former release?'), answer).click();
      };
      const { serving_revision: second } = await project.json('status');
      await rollBack('Cancel');
      await vscode.dialog.waitFor({ state: 'hidden' });
      if ((await project.json('status')).serving_revision !== second) throw new Error('rolled back without a yes');
      await rollBack('Roll back');
      const toast = await vscode.toast('serves again');
      const { serving_revision: first } = await project.json('status');
      if (first === second) throw new Error(`${second} still serves`);
      await toast.filter({ hasText: first }).waitFor();
      await vscode.closeToasts();
    },
  };
}

export function ending(vscode, project) {
  return {
    'tearing down is asked about first': async () => {
      await vscode.run('AI Toolkit: Tear down inference resources');
      await vscode.button(await vscode.question('Delete container app'), 'No').click();
      await vscode.dialog.waitFor({ state: 'hidden' });
      const { answers } = await project.json('status');
      if (!answers) throw new Error('torn down without a yes');
      await vscode.closeToasts();
      await vscode.run('AI Toolkit: Tear down inference resources');
      await vscode.button(await vscode.question('Delete container app'), 'Yes').click();
      await vscode.toast('Deleted');
    },
  };
}
