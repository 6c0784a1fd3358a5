/** What a node works with once it has a task: it comes with the first one, and not with the page. */
export { Asking } from './asking';
export { Delivery } from './delivery';
export { Labour } from './labour';
export { Lanes } from './lanes';
