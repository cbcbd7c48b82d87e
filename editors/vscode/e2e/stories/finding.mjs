// Which `remora` is taken, whether its version fits, and what is offered where there is none.
import fs from 'node:fs';
import { spaced } from '../workbench.mjs';

const DEPLOY = 'AI Toolkit: Deploy for inference';
const SETTING_MS = 60_000;

export function finding(vscode, project, picture) {
  const { places } = project;
  /** Asks until this one is refused: VS Code takes a while to see that settings.json has changed. */
  const refused = async (program, version) => {
    const deadline = Date.now() + SETTING_MS;
    for (let told = ''; !spaced(`${program} is ${version}`).test(told);) {
      if (Date.now() > deadline) throw new Error(`not ${program}: ${told}`);
      await vscode.run(DEPLOY);
      told = await (await vscode.toast('This extension works with remora')).innerText();
      await vscode.closeToasts();
    }
  };

  return {
    'the setting goes before .venv, the interpreter and PATH; a version that does not fit is named': async () => {
      const setting = project.pretend(`${project.root}/chosen`, '9.0.4');
      await refused(project.pretend(places.path, '9.0.1'), '9.0.1');
      await refused(project.pretend(places.interpreter, '9.0.2'), '9.0.2');
      await refused(project.pretend(places.venv, '9.0.3'), '9.0.3');
      project.write('.vscode/settings.json', JSON.stringify({ 'remora.path': setting }));
      await refused(setting, '9.0.4');
      project.write('.vscode/settings.json', '{}');
      await refused(`${places.venv}/remora`, '9.0.3');
      for (const place of Object.values(places)) fs.rmSync(`${place}/remora`);
      fs.rmSync(project.file('.venv'), { recursive: true });
    },

    'without remora it is offered, and declining changes nothing': async () => {
      await vscode.run(DEPLOY);
      const toast = await vscode.toast('There is no remora');
      await picture('install');
      await vscode.button(toast, 'Install').click();
      await vscode.asked('What pip installs into .venv');
      const offered = await vscode.input.inputValue();
      if (offered !== 'remora[azure,serve]') throw new Error(`offers ${offered}`);
      await vscode.page.keyboard.press('Escape');
      await vscode.input.waitFor({ state: 'hidden' });
      if (fs.existsSync(project.file('.venv'))) throw new Error('.venv was made');
    },

    'an install shows in a terminal what it runs, and what it installed is found': async () => {
      await vscode.run(DEPLOY);
      await vscode.button(await vscode.toast('There is no remora'), 'Install').click();
      await vscode.answer('What pip installs into .venv', project.wheel());
      await vscode.terminal('python3 -m venv .venv && .venv/bin/python -m pip install');
      await vscode.terminal('Successfully installed remora-0.1.0');
      await vscode.closeToasts();
    },
  };
}
