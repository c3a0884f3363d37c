//! DELETE of many objects: those that a list would show.

use http::Response;

use super::call::Call;
use super::delete::{self, DeleteOptions};
use super::list;
use crate::query::ListOptions;
use crate::response::Body;
use crate::status::Status;

/// Deletes what is selected and answers with the list of it.
pub(crate) async fn answer(call: &Call) -> Result<Response<Body>, Status> {
    let options = DeleteOptions::read(call)?;
    let listing = ListOptions::read(&call.query, false)?;
    let selection = call.selection(&listing)?;
    let view = call.view()?;
    let page = list::page(call, &listing, &selection).await?;
    for object in &page.objects {
        match delete::delete(&call.api, call.kind, &object.namespace, &object.name, &options).await {
            // Somebody else was faster.
            Err(status) if status.reason == "NotFound" => {}
            Err(status) => return Err(status),
            Ok(_) => {}
        }
    }
    list::show(view, page).await
}
