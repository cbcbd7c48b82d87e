/** Provision Azure Container Apps for inference: ask where, show the plan, do it after a yes. */
import * as vscode from 'vscode';
import type { Document } from './contract';
import type { Remora } from './remora';

const TITLE = 'Provision Azure Container Apps for inference';
const MARKS: Readonly<Record<string, string>> = { Create: '+', Modify: '~', Deploy: '~', Delete: '−', NoChange: '=' };

export async function provision(remora: Remora, folder: vscode.Uri): Promise<void> {
  remora.channel.show();
  const plan = await remora.show('plan', 'Plan inference resources', ['plan'], folder);
  if (!plan || !(await agreed(plan))) return;
  const place = ['--subscription', plan.subscription_id, '--resource-group', plan.resource_group, '--location', plan.location];
  const done = await remora.show('provision', TITLE, ['provision', ...place], folder);
  if (!done) return;
  const { portal_url: portal, resource_group: group } = done;
  const what = `Provisioned ${done.app} in ${group}.`;
  const deploy = 'Deploy for inference';
  const chosen = await vscode.window.showInformationMessage(what, deploy, ...(portal === null ? [] : ['Show deployment']));
  if (chosen === deploy) await vscode.commands.executeCommand('remora.deploy');
  else if (chosen !== undefined && portal !== null) await vscode.env.openExternal(vscode.Uri.parse(portal, true));
}

async function agreed(plan: Document<'plan'>): Promise<boolean> {
  const where = `${plan.resource_group} in ${plan.location}`;
  const question = plan.provision ? `Provision ${where}?` : `${where} is as the template says. Provision anyway?`;
  const chosen = await vscode.window.showInformationMessage(question, { modal: true, detail: details(plan) }, 'Provision');
  return chosen === 'Provision';
}

function details(plan: Document<'plan'>): string {
  return [
    `subscription ${plan.subscription_id}`,
    ...(plan.new_resource_group ? [`+ resource group ${plan.resource_group}`] : []),
    ...plan.providers_to_register.map((name) => `+ register provider ${name}`),
    ...plan.resources.map((item) => `${MARKS[item.change] ?? '?'} ${item.kind} ${item.name}`.trimEnd()),
  ].join('\n');
}
