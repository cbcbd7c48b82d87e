// A workspace that is not trusted: commands that read, with the machine's `remora` and never one of the workspace's.
import fs from 'node:fs';
import { spaced } from '../workbench.mjs';

const READING = ['Go to Inference Endpoint', 'Show inference logs', 'Show inference status', 'Refresh inference adapters'];

/** Puts a `remora` of the workspace's own where a trusted one would be looked for; it leaves a mark if it is run. */
export function bait(project) {
  const { venv } = project.places;
  fs.mkdirSync(venv, { recursive: true });
  fs.writeFileSync(`${venv}/remora`, `#!/bin/sh\ntouch ${markOf(project)}\necho "remora 0.1.0"\n`, { mode: 0o755 });
  project.write('.vscode/settings.json', JSON.stringify({ 'remora.path': `${venv}/remora` }));
}

export function restricted(vscode, project) {
  const unmarked = () => {
    if (fs.existsSync(markOf(project))) throw new Error('the workspace\'s remora was run');
  };

  return {
    'without trust nothing of the workspace is run, and no install is offered': async () => {
      await vscode.page.locator('.statusbar', { hasText: 'Restricted Mode' }).waitFor();
      await vscode.run('AI Toolkit: Show inference status');
      const toast = await vscode.toast('There is no remora');
      await vscode.button(toast, 'Open setting').waitFor();
      if (await vscode.button(toast, 'Install').count()) throw new Error('an install is offered');
      unmarked();
      await vscode.closeToasts();
    },

    'without trust the palette has the commands that read, and no other': async () => {
      await vscode.find('AI Toolkit: Show inference status');
      await vscode.input.fill('>AI Toolkit: ');
      await vscode.row(READING[0]).waitFor();
      const rows = vscode.page.locator('.quick-input-list .monaco-list-row', { hasText: 'AI Toolkit: ' });
      const labels = await rows.evaluateAll((all) => all.map((row) => row.getAttribute('aria-label')));
      const names = labels.map((label) => /AI Toolkit: ([\w ]+)/.exec(label)[1].trim()).sort();
      if (names.join() !== [...READING].sort().join()) throw new Error(names.join());
      await vscode.page.keyboard.press('Escape');
    },

    'without trust the machine\'s remora reads': async () => {
      fs.symlinkSync(project.program, `${project.places.path}/remora`);
      const { serving_revision: serving } = await project.json('status');
      await vscode.run('AI Toolkit: Show inference status');
      await vscode.output(serving);
      await vscode.page.locator('.statusbar', { hasText: spaced('local: 2 adapters') }).waitFor();
      await vscode.run('AI Toolkit: Show inference logs');
      await vscode.output('"request_id"'); // of the newest lines, since no others are drawn
      unmarked();
    },
  };
}

function markOf(project) {
  return `${project.root}/mark`;
}
