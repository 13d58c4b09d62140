#!/usr/bin/env node
// The `blockferry` command. Runs on whatever Node the machine has (20 or newer) and hands over to the
// project's own Node 24, which setup installs. Plain JavaScript: nothing may be installed yet.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const cli = dirname(fileURLToPath(import.meta.url))
const root = dirname(cli)
const node = join(root, 'node_modules', '.bin', 'node')

if (!existsSync(node) || !existsSync(join(root, 'node_modules', '@blockferry', 'cli'))) {
  process.stderr.write(`blockferry: this clone is not set up yet; run: npm --prefix ${root} run setup\n`)
  process.exit(1)
}

const child = spawn(node, [join(cli, 'src', 'main.ts'), ...process.argv.slice(2)], { stdio: 'inherit' })
// A terminal sends SIGINT to both; a supervisor signals only this process. Either way the child decides.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('error', (error) => {
  process.stderr.write(`blockferry: ${node} does not start (${error.message}); run: npm run setup\n`)
  process.exit(1)
})
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
