// The files of infra/ in an editor, and tasks whose errors come to the Problems panel.
import fs from 'node:fs';
import { spaced } from '../workbench.mjs';

const CONFIG = 'infra/inference.config.json';
const PARAMETERS = 'infra/provision/inference.parameters.json';
const PLAN = { type: 'remora', command: 'plan' };
const TASKS = {
  version: '2.0.0',
  tasks: [{ ...PLAN, args: ['.', '--yes'], label: 'plan it', problemMatcher: ['$remora'] }, { ...PLAN, args: ['--yes'], label: 'plan by itself' }],
};

export function editing(vscode, project, picture) {
  const { page } = vscode;
  const suggestion = (text) => page.locator('.suggest-widget .monaco-list-row', { hasText: text }).first();
  const problem = (text) => vscode.problems.filter({ hasText: spaced(text) }).first();
  /** Lets a file be wrong for a while. */
  const wrong = async (name, change, look) => {
    const right = project.read(name);
    fs.writeFileSync(project.file(name), change(right));
    await look();
    fs.writeFileSync(project.file(name), right);
  };
  const goTo = async (place) => {
    await page.keyboard.press('Control+G');
    await vscode.input.waitFor();
    await vscode.input.fill(`:${place}`);
    await vscode.input.press('Enter');
    await vscode.input.waitFor({ state: 'hidden' });
  };

  return {
    'a wrong value in inference.config.json is marked while it is edited': async () => {
      await vscode.run('View: Focus Problems');
      await wrong(CONFIG, (text) => text.replace(/"ACA_APP_NAME": [^,]*/, '"ACA_APP_NAME": 7'), async () => {
        await vscode.edit(project.file(CONFIG));
        await problem('Incorrect type. Expected').waitFor();
      });
      await problem('Incorrect type. Expected').waitFor({ state: 'hidden' });
    },

    'parameters complete and explain themselves, though their file names another schema': async () => {
      const without = (text) => text.replace(/"acaAppName": \{[^}]*\},\s*/, '');
      await wrong(PARAMETERS, without, async () => {
        const lines = project.read(PARAMETERS).split('\n');
        if (!lines[1].includes('"$schema": "https://schema.management.azure.com/')) throw new Error('the file names no schema');
        if (lines.join().includes('acaAppName')) throw new Error('the file has the word itself');
        await vscode.edit(project.file(PARAMETERS));
        await goTo(`${lines.findIndex((each) => each.includes('"location"')) + 1}:7`);
        await vscode.run('Show or Focus Hover');
        await page.locator('.monaco-hover', { hasText: 'Region of the resources' }).first().waitFor();
        await page.keyboard.press('Escape');
        const line = lines.findIndex((each) => each.includes('"parameters"'));
        await goTo(`${line + 1}:${lines[line].length + 1}`);
        await page.keyboard.press('Enter');
        await page.keyboard.type('"');
        await page.keyboard.press('Control+Space');
        await suggestion('acaAppName').waitFor();
        await picture('completion');
        await page.keyboard.press('Escape');
        await vscode.run('File: Revert File');
        await page.locator('.tab.active.dirty').waitFor({ state: 'hidden' });
      });
    },

    'a task of tasks.json puts an error to its line in the Problems panel': async () => {
      project.write('.vscode/tasks.json', JSON.stringify(TASKS));
      await wrong(PARAMETERS, (text) => text.replace('"contentVersion": "1.0.0.0",', '"contentVersion": "1.0.0.0"'), async () => {
        await vscode.reopen(() => vscode.run('Tasks: Run Task'), 'plan it');
        await vscode.row('plan it').click();
        await vscode.terminal('Error (invalid_file)');
        await vscode.run('View: Focus Problems');
        await problem('not valid JSON').filter({ hasText: spaced('[Ln 4, Col 3]') }).waitFor();
        await picture('problem');
      });
    },

    'a task that names no problem matcher puts an error to its file': async () => {
      const many = (text) => text.replace(/("maximumInstanceCount": \{\s*"value":) 1/, '$1 "many"');
      await wrong(PARAMETERS, many, async () => {
        await vscode.run('Tasks: Run Task');
        await vscode.row('plan by itself').click();
        await vscode.terminal('maximumInstanceCount is a string');
        await vscode.run('View: Focus Problems');
        await problem('maximumInstanceCount is a string').waitFor();
      });
    },

    'the extension brings tasks of its own': async () => {
      await vscode.run('Tasks: Run Task');
      await vscode.row('remora').click();
      for (const name of ['up', 'plan', 'provision', 'deploy', 'status']) await vscode.row(`remora: ${name}`).waitFor();
      await page.keyboard.press('Escape');
      await vscode.input.waitFor({ state: 'hidden' });
    },
  };
}
