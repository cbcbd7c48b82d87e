// The hand-over to AI Toolkit's playground: with an extension that declares AI Toolkit's setting in its place.
import { packaged } from '../project.mjs';

const COMMAND = 'AI Toolkit: Add the inference endpoint to the playground';
const SETTING = 'windowsaistudio.remoteInfereneEndpoints';

export function playground(vscode, project) {
  const add = async (answer) => {
    await vscode.run(COMMAND);
    await vscode.row('pirate').waitFor();
    await vscode.row('pirate').click();
    await vscode.input.press('Enter');
    await vscode.button(await vscode.question('Let AI Toolkit keep the key?'), answer).click();
  };

  return {
    'without AI Toolkit there is no playground': async () => {
      await vscode.run(COMMAND);
      await vscode.toast('AI Toolkit extension is not installed');
      await vscode.closeToasts();
    },

    'the hand-over asks, and declining writes nothing': async () => {
      vscode.server.install(packaged('ai-toolkit', project.root));
      await vscode.page.reload();
      await vscode.drawn();
      await add('Cancel');
      await vscode.dialog.waitFor({ state: 'hidden' });
      if (SETTING in vscode.server.settings) throw new Error('written without a yes');
    },

    'what is handed over answers as the playground asks': async () => {
      await add('Add');
      await vscode.toast('The playground has pirate now');
      const [model, ...others] = vscode.server.settings[SETTING];
      if (model.name !== 'pirate' || others.length) throw new Error(JSON.stringify(vscode.server.settings[SETTING]));
      const body = JSON.stringify({ model: model.name, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 });
      const headers = { 'content-type': 'application/json', ...model.headers };
      const answer = await fetch(model.chatCompletionUrl, { method: 'POST', headers, body });
      const { choices } = await answer.json();
      if (!answer.ok || !choices[0].message.content) throw new Error(`HTTP ${answer.status}`);
      await vscode.closeToasts();
    },
  };
}
