import { parseConfig, runService } from '@blockferry/runtime/service'
import { startAggregator } from './app.ts'
import { options } from './config.ts'

await runService({
  service: 'aggregator',
  start: (context) => {
    const config = parseConfig({ service: 'aggregator', options, argv: context.argv, env: context.env })
    return startAggregator(config, context)
  },
})
