// Finishes the application of one image, inside the build:
//
//   node finish-app.mjs MAIN [MODULE…]
//
// Removes every workspace that the installed modules do not link to, lets everybody read what is left, and
// fills the compile cache as the user that will run: the cache belongs to a path, a Node and a user id.
// MAIN is started with --help; each MODULE is only loaded (a worker's, which nobody imports).
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'

const root = process.cwd()
const [main, ...modules] = process.argv.slice(2)
const user = { uid: 1000, gid: 1000 }
// What runs here is no part of the cache; what it starts fills it.
const { NODE_DISABLE_COMPILE_CACHE: _, ...env } = process.env
const cache = env.NODE_COMPILE_CACHE

removeUnlinkedWorkspaces()
makeReadable(root)
mkdirSync(cache)
chownSync(cache, user.uid, user.gid)
run([main, '--help'])
// A worker refuses to run here; by then it and all that it imports is compiled.
for (const module of modules) {
  const path = JSON.stringify(join(root, module))
  run(['--input-type=module', '--eval', `await import(${path}).catch(() => {}); process.exit(0)`])
}
makeReadable(cache)

function removeUnlinkedWorkspaces() {
  const scope = join(root, 'node_modules', '@blockferry')
  const needed = new Set(readdirSync(scope).map((name) => relative(root, realpathSync(join(scope, name)))))
  // The WAN proxy lives with the command line tool and needs nothing of it but its folder.
  needed.add(main.split('/src/')[0])
  for (const folder of ['packages', 'services']) {
    for (const name of readdirSync(join(root, folder))) {
      if (!needed.has(join(folder, name))) rmSync(join(root, folder, name), { recursive: true })
    }
  }
  for (const folder of ['schemas', 'cli']) {
    if (!needed.has(folder)) rmSync(join(root, folder), { recursive: true })
  }
}

/** A clone made under a strict umask must not make an image that its user cannot read. */
function makeReadable(path) {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  chmodSync(path, (stats.mode & 0o777) | (stats.isDirectory() || stats.mode & 0o100 ? 0o555 : 0o444))
  if (!stats.isDirectory()) return
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (!entry.isSymbolicLink()) makeReadable(join(path, entry.name))
  }
}

function run(args) {
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, env, ...user, encoding: 'utf8' })
  if (status === 0) return
  process.stderr.write(`node ${args.join(' ')} ended with ${status}\n${stderr}`)
  process.exit(1)
}
